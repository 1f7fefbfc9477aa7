"""A PLLaVA that learns: what of it is trainable, and the loss of its answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch.nn import functional as F

from recap.pllava import Pllava, normalise
from recap.pllava.visual import Strategy
from recap.training.conversation import IGNORED
from recap.training.settings import LoraSettings, Part

_ROOMS: Mapping[Part, str] = {"tower": "vision_tower", "projector": "projector", "llm": "language_model"}


class Learner(nn.Module):
    """The module that a Trainer drives. `windows` is how many square pictures the view makes of a frame."""

    def __init__(self, pllava: Pllava, strategy: Strategy, windows: int = 1):
        super().__init__()
        self.pllava, self._strategy, self._windows = pllava, strategy, windows

    def forward(
        self,
        pixels: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor,
        num_items_in_batch: Tensor | int | None = None,
        **_: Any,
    ) -> dict[str, Tensor]:
        """The cross entropy of the next token, over the labels that are not `IGNORED`.

        `pixels` is (clips, pictures, S, S, 3) uint8, the rest (clips, length), padded on the left. The sum is
        divided by `num_items_in_batch`, the labels of the whole accumulated batch: only so do accumulated
        gradients equal those of one large batch.
        """
        visual = self._strategy.tokens(self.pllava, self._normalised(pixels), self._windows)
        batch = self.pllava.spliced(input_ids, attention_mask, visual)
        hidden = self.pllava.language_model.model(
            inputs_embeds=batch.embeddings,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            use_cache=False,
        ).last_hidden_state
        wanted = self._spliced_labels(input_ids, labels, batch.is_visual)[:, 1:]
        learnt = wanted != IGNORED
        # Only what has a label needs its scores: a vocabulary wide, they would outweigh all the rest.
        scores = self.pllava.language_model.lm_head(hidden[:, :-1][learnt]).float()
        total = F.cross_entropy(scores, wanted[learnt], reduction="sum")
        return {"loss": total / (learnt.sum() if num_items_in_batch is None else num_items_in_batch)}

    def _normalised(self, pixels: Tensor) -> Tensor:
        pixels = pixels.to(self.pllava.device)
        return normalise(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])

    def _spliced_labels(self, input_ids: Tensor, labels: Tensor, is_visual: Tensor) -> Tensor:
        is_image = input_ids == self.pllava.config.image_token_id
        wanted = labels.new_full(is_visual.shape, IGNORED)
        wanted[~is_visual] = labels[~is_image]
        return wanted


def make_trainable(pllava: Pllava, trainable: Collection[Part], lora: LoraSettings) -> None:
    """Freeze all of `pllava` but what is named; `lora` is put on the language model where that is.

    What learns is float32. ValueError for targets that the language model does not have.
    """
    pllava.requires_grad_(False)
    for part in trainable:
        if part != "lora":
            pllava.get_submodule(_ROOMS[part]).requires_grad_(True)
    if "lora" in trainable:
        _add_lora(pllava, lora)
    for parameter in pllava.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def _add_lora(pllava: Pllava, lora: LoraSettings) -> None:
    _check_targets(pllava.language_model, lora.targets)
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=list(lora.targets), bias="none"
    )
    inject_adapter_in_model(config, pllava.language_model)


def _check_targets(model: nn.Module, targets: Iterable[str]) -> None:
    """ValueError for a target that is not the end of the names of linear layers, and of those alone."""
    modules = dict(model.named_modules())
    for target in targets:
        named = [module for name, module in modules.items() if f".{name}".endswith(f".{target}")]
        if not named or not all(isinstance(module, nn.Linear) for module in named):
            linear = {name.rpartition(".")[2] for name, module in modules.items() if isinstance(module, nn.Linear)}
            raise ValueError(
                f"train.lora.targets: {target!r} names no linear layers of the language model; "
                f"there are {', '.join(sorted(linear))}"
            )


def trainable_counts(pllava: nn.Module) -> tuple[int, int]:
    """How many numbers learn, and how many there are."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in pllava.parameters()]
    return sum(size for size, learns in sizes if learns), sum(size for size, _ in sizes)

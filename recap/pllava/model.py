"""PLLaVA, readable from top to bottom: CLIP tower, pooled projector, splice, Llama.

Frames become patch features, features become visual tokens, visual tokens take the place of `<image>` in
the prompt, and a Llama goes on from there. Shapes use: clips, frames (of one clip), patches (grid·grid),
S (side of a frame in pixels).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig, GenerationConfig, LlamaForCausalLM
from transformers.activations import ACT2FN
from transformers.models.clip.modeling_clip import CLIPEncoder, CLIPVisionEmbeddings
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from recap.pllava.config import PllavaConfig
from recap.pllava.splicing import Spliced, splice


class Pllava(nn.Module):
    """A PLLaVA of the sizes in `config`, with weights yet to be loaded (see `load_pllava`).

    `tokenizer` is the checkpoint's own, or None where it brings none. `compute_device` is where weights that
    live elsewhere, in memory or on disk, come to compute.
    """

    def __init__(self, config: PllavaConfig):
        super().__init__()
        self.config = config
        self.tokenizer = None
        self.compute_device = torch.device("cpu")
        self.vision_tower = VisionTower(config.vision, config.vision_blocks)
        self.projector = Projector(config.vision.hidden_size, config.text.hidden_size, config.projector_act)
        self.language_model = LlamaForCausalLM(config.text)

    def visual_tokens(
        self,
        pixel_values: Tensor,
        *,
        num_frames: int | None = None,
        pooling_shape: tuple[int, int, int] | None = None,
    ) -> Tensor:
        """Normalised frames (clips·frames, 3, S, S) as visual tokens (clips, tokens, hidden).

        Tokens run over frames, then rows, then columns of `pooling_shape`. It and `num_frames` come from the
        checkpoint unless given. ValueError if the frames do not divide into clips or have another size.
        """
        features = self.patch_features(pixel_values, num_frames=num_frames)
        return self.projector(features, pooling_shape or self.config.pooling_shape)

    def patch_features(self, pixel_values: Tensor, *, num_frames: int | None = None) -> Tensor:
        """What the tower sees in (clips·frames, 3, S, S): (clips, frames, rows, columns, features)."""
        frames, side = num_frames or self.config.num_frames, self.config.image_size
        if len(pixel_values) % frames or pixel_values.shape[1:] != (3, side, side) or not len(pixel_values):
            raise ValueError(
                f"pixel_values is {tuple(pixel_values.shape)}; it must be "
                f"(clips·{frames}, 3, {side}, {side}), all frames of the first clip first"
            )
        features = self.vision_tower(pixel_values.to(self.device, self.dtype))
        grid = self.config.grid
        return features.unflatten(1, (grid, grid)).unflatten(0, (-1, frames))

    def prompt_embeddings(self, input_ids: Tensor, visual_tokens: Tensor) -> Tensor:
        """Prompts with their clips' visual tokens in place: (clips, spliced length, hidden).

        `input_ids` is (clips, length), unpadded; (1, length) and (length,) are one prompt for all clips.
        ValueError if a prompt does not hold exactly one image token.
        """
        if input_ids.dim() == 1 or len(input_ids) == 1:
            input_ids = input_ids.expand(len(visual_tokens), -1)
        return self.spliced(input_ids, torch.ones_like(input_ids), visual_tokens).embeddings

    def spliced(self, input_ids: Tensor, attention_mask: Tensor, visual_tokens: Tensor) -> Spliced:
        """A left-padded batch (clips, length) with its visual tokens in place."""
        device = self.device
        return splice(
            input_ids.to(device),
            attention_mask.to(device),
            visual_tokens.to(device, self.dtype),
            embed=self.language_model.get_input_embeddings(),
            image_token_id=self.config.image_token_id,
        )

    def logits(self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor) -> Tensor:
        """Scores of every next token, (clips, spliced length, vocabulary); meaningless on padding."""
        batch = self.spliced(input_ids, attention_mask, self.visual_tokens(pixel_values))
        return self.language_model(
            inputs_embeds=batch.embeddings,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            use_cache=False,
        ).logits

    @torch.no_grad()
    def generate(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor, max_new_tokens: int
    ) -> list[list[int]]:
        """Greedy continuation of each prompt: its new token ids, up to but without the end token.

        A list shorter than `max_new_tokens` ended by itself.
        """
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {max_new_tokens}; it must be at least 1")
        batch = self.spliced(input_ids, attention_mask, self.visual_tokens(pixel_values))
        ends = list(self.config.eos_token_ids)
        new_ids = self.language_model.generate(
            inputs_embeds=batch.embeddings,
            attention_mask=batch.attention_mask,
            generation_config=GenerationConfig(
                max_new_tokens=max_new_tokens, do_sample=False, eos_token_id=ends, pad_token_id=ends[0]
            ),
        )
        return [_until(ends, row) for row in new_ids.tolist()]

    @property
    def dtype(self) -> torch.dtype:
        """The type that the weights are in and that the model computes in."""
        return self.projector.linear_1.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where visual tokens and prompts meet: where the projector computes."""
        part = self.language_model.get_input_embeddings() if self.projector is None else self.projector.linear_1
        home = part.weight.device
        return self.compute_device if home.type == "meta" else home

    def restore_buffers(self) -> None:
        """Compute what no checkpoint holds: the tower's position ids and the rotary frequencies (float32)."""
        if self.vision_tower is not None:
            embeddings = self.vision_tower.embeddings
            embeddings.position_ids = torch.arange(embeddings.num_positions, device=self.device)[None]
        self.language_model.model.rotary_emb = LlamaRotaryEmbedding(self.config.text).to(self.device)


class VisionTower(nn.Module):
    """The first `blocks` blocks of a CLIP vision transformer; what lies behind them feeds nothing."""

    def __init__(self, config: CLIPVisionConfig, blocks: int):
        super().__init__()
        self.embeddings = CLIPVisionEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.encoder = CLIPEncoder(config)
        del self.encoder.layers[blocks:]

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(frames, 3, S, S) as (frames, patches, features), row by row, without the class token."""
        hidden = self.pre_layrnorm(self.embeddings(pixel_values))
        # Contiguous: a linear layer takes anything else in many small products.
        return self.encoder(inputs_embeds=hidden).last_hidden_state[:, 1:].contiguous()


class Projector(nn.Module):
    """Patch features to visual tokens: linear, GELU, average pooling, linear.

    The published order pools last. A mean of affine images is the affine image of the mean, so pooling before
    `linear_2` gives the same numbers up to rounding for a quarter of its work.
    """

    def __init__(self, features: int, hidden: int, activation: str):
        super().__init__()
        self.linear_1 = nn.Linear(features, hidden)
        self.act = ACT2FN[activation]
        self.linear_2 = nn.Linear(hidden, hidden)

    def forward(self, features: Tensor, pooling_shape: tuple[int, int, int]) -> Tensor:
        """(clips, frames, rows, columns, features) as (clips, tokens, hidden)."""
        hidden = self.act(self.linear_1(features))
        pooled = F.adaptive_avg_pool3d(hidden.movedim(-1, 1), pooling_shape)
        return self.linear_2(pooled.flatten(2).transpose(1, 2))


def _until(ends: list[int], ids: list[int]) -> list[int]:
    """`ids` up to the first that is in `ends`."""
    return ids[: next((i for i, token in enumerate(ids) if token in ends), len(ids))]

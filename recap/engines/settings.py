"""The YAML's `model`, `prompt` and `engine` sections."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from recap.bounds import Bounds, Count, NotNegative, Whole

GPU_SLOTS, CPU_SLOTS = 64, 16
_NAME = re.compile("[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class ModelSettings:
    """Which PLLaVA captions the clips."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    checkpoint: str = ""
    """A folder, a hub id, or `pocket`, the small model that ships with recap and knows a world of moving shapes.
    Only `engine.kind: rehearsal` does without."""
    revision: str | None = None
    """The hub commit or branch of `checkpoint`; ignored for a folder."""
    base: str | None = None
    """The LLaVA beneath a checkpoint that holds only LoRA and projector weights: a folder or a hub id."""
    lora_alpha: NotNegative = 4
    """The LoRA is merged with weight `lora_alpha` / its rank; 0 leaves it out."""
    visual_tokens: Literal["pllava", "n_frame", "video_chatgpt", "image_grid"] = "pllava"
    """How frames become visual tokens: PLLaVA's pooling, or one of the ways that its paper compares it with."""
    pooling: tuple[Count, Count, Count] | None = None
    """Frames × rows × columns of PLLaVA's visual tokens; the checkpoint's own when absent."""
    device_map: dict[str, str | int] | None = None
    """Where each part of the model lives (a card's number, `cpu` or `disk`); one device when absent."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What the model computes in; `auto` is float32 on a CPU, else what the checkpoint's config.json says. A CPU that
    multiplies bfloat16 (`lscpu` tells `avx512_bf16` or `amx_bf16`) is faster with it."""

    def __post_init__(self):
        if self.pooling is not None and self.visual_tokens != "pllava":
            raise ValueError(f"model.visual_tokens {self.visual_tokens} does not pool: leave model.pooling out")


@dataclass(frozen=True)
class PromptSettings:
    """What the model is asked."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}

    template: str = "plain"
    """The chat format that the checkpoint was trained with."""
    instruction: str | tuple[str, ...] | dict[str, str] = "dense"
    """A shipped name (`dense`, `medium`, `short`) or your own words; a list of shipped names, or a mapping of names to
    texts, gives every clip several captions, the first of which is the primary one."""
    system: str = ""
    """The name of a shipped system text (`captioner`), or your own; only for templates that have a place for one."""

    def __post_init__(self):
        texts = list(self.instructions.values())
        if not texts or not all(text.strip() for text in texts):
            raise ValueError("prompt.instruction is empty: name a shipped one, such as dense, or write your own")
        odd = [name for name in self.instructions if not _NAME.fullmatch(name)]
        if odd:
            raise ValueError(f"prompt.instruction: the name {odd[0]!r} must be of lower-case letters, digits, _ and -")

    @property
    def instructions(self) -> dict[str, str]:
        """What captions are filed under, and the shipped name or own words that asks for them."""
        if isinstance(self.instruction, dict):
            return self.instruction
        texts = (self.instruction,) if isinstance(self.instruction, str) else self.instruction
        names = [text if _NAME.fullmatch(text) else "custom" for text in texts]
        if len(set(names)) < len(names):
            raise ValueError("prompt.instruction: give instructions of your own a name each, as a mapping")
        return dict(zip(names, texts, strict=True))


@dataclass(frozen=True)
class EngineSettings:
    """What runs the model, and how captions are decoded."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    kind: Literal["transformers", "vllm", "rehearsal"] = "transformers"
    """`vllm` wants the extra of that name installed; `rehearsal` writes made-up captions with no model, to try out
    everything around it."""
    actors: Count | Literal["auto"] = "auto"
    """Copies of the model, each in a process of its own. `auto`: one for each share of the GPUs; on a CPU one a core as
    far as half the memory goes. No more than have a few batches to do."""
    gpus_per_actor: NotNegative = 0
    """GPUs that each copy takes; 0 computes on the CPU. Below 1 a copy keeps to that part of a card's memory, and
    others have theirs. With `vllm`, 2 or more share one copy of the model."""
    quantization: Literal["fp8"] | None = None
    """With `vllm` on GPUs: weights in eight bits, made at every start from a model in 16. Captions change."""
    merged_path: str = "~/.cache/recap/merged"
    """Where `vllm` keeps language models with their LoRA merged in, one for each checkpoint, `model.lora_alpha` and
    `model.dtype`; a folder on a disk of the node that computes."""
    cuda_graphs: bool = True
    """On a GPU, launch the decode step in one piece where launching it in pieces keeps the card waiting."""
    threads: Count = 1
    """On a CPU, threads that each copy computes with. More are for models of which memory holds no second copy; the
    last bits of a caption's scores depend on their number."""
    batch_size: Count | Literal["auto"] = "auto"
    """Clips that one copy writes together, at most: where memory holds fewer, it writes fewer. `auto`: 64 on a GPU,
    where a step takes hardly longer for many, else 16."""
    in_flight: Count | Literal["auto"] = "auto"
    """Clips that one copy has in hand, those that it writes and those that wait for it: `batch_size` at least. `auto`:
    three times that."""
    stall_s: Annotated[float, Bounds(ge=0.01)] = 600.0
    """Seconds that one step may take (writing a token of every text, or looking at some clips) before the engine
    counts as dead; a large model on a CPU may need more. So does an engine that finished no text for as long, and for
    eight times as many steps as the longest prompt and its caption have tokens."""
    max_new_tokens: Count = 400
    """The longest caption, in tokens."""
    repetition_penalty: Annotated[float, Bounds(ge=0.01, le=100)] = 1.0
    """Above 1, words already written become less likely; 1 leaves the model alone."""
    temperature: NotNegative = 0.0
    """0 always takes the likeliest word; above it words are drawn, the more freely the higher."""
    seed: Whole = 0
    """What the draws start from, together with the clip's id; without effect at `temperature` 0."""

    def __post_init__(self):
        if self.gpus_per_actor > 1 and self.gpus_per_actor % 1:
            raise ValueError(f"engine.gpus_per_actor above 1 must be whole, not {self.gpus_per_actor:g}")
        self._check_quantization()

    def _check_quantization(self) -> None:
        if self.quantization and (self.kind != "vllm" or not self.gpus_per_actor):
            raise ValueError(f"engine.quantization {self.quantization} wants engine.kind: vllm and a GPU")

    @property
    def slots(self) -> int:
        """What `batch_size` comes to."""
        if self.batch_size == "auto":
            return GPU_SLOTS if self.gpus_per_actor else CPU_SLOTS
        return self.batch_size

    @property
    def clips_in_flight(self) -> int:
        """What `in_flight` comes to."""
        return 3 * self.slots if self.in_flight == "auto" else max(self.in_flight, self.slots)

    @property
    def computes_on_cpu(self) -> bool:
        """Whether copies of a model keep cores busy."""
        return self.kind != "rehearsal" and not self.gpus_per_actor

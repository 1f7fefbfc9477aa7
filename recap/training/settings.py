"""The sections of a training YAML that are training's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from recap.bounds import Bounds, Count, NotNegative, Positive, Share, Whole

Part = Literal["tower", "projector", "lora", "llm"]
ShareBelowOne = Annotated[float, Bounds(ge=0, lt=1)]
Seed = Annotated[int, Bounds(ge=0, lt=2**32)]


@dataclass(frozen=True)
class ScratchSettings:
    """Sizes of a model that starts from random weights. Heads are of `hidden_size / heads` features."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}

    image_size: Count = 72
    """Side of the square frames in pixels."""
    patch_size: Count = 12
    """Side of a patch in pixels."""
    vision_hidden_size: Count = 128
    """Features of the vision tower."""
    vision_layers: Count = 5
    """Blocks of the vision tower; the last but one gives the features, as in the published models."""
    vision_heads: Count = 4
    """Attention heads of the vision tower."""
    hidden_size: Count = 192
    """Features of the language model."""
    layers: Count = 5
    """Blocks of the language model."""
    heads: Count = 6
    """Attention heads of the language model."""
    kv_heads: Count = 2
    """Key-value heads of the language model."""
    intermediate_size: Count = 512
    """Features between the two halves of its feed-forward blocks."""
    max_positions: Count = 2048
    """The longest sequence, visual tokens among it."""
    vocab_size: Count = 640
    """Pieces of the tokenizer, which is made from the training data's own text."""

    def __post_init__(self):
        for whole, parts in (
            ("image_size", "patch_size"),
            ("vision_hidden_size", "vision_heads"),
            ("hidden_size", "heads"),
            ("heads", "kv_heads"),
        ):
            if getattr(self, whole) % getattr(self, parts):
                raise ValueError(f"model.scratch.{whole} must be a multiple of model.scratch.{parts}")
        if self.hidden_size // self.heads % 2:
            raise ValueError("model.scratch: hidden_size / heads must be even, as positions turn pairs of features")


@dataclass(frozen=True)
class StartSettings:
    """What training starts from."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    checkpoint: str = ""
    """A folder or hub id: an image LLaVA, or a PLLaVA to go on from."""
    revision: str | None = None
    """The hub commit or branch of `checkpoint`; ignored for a folder."""
    base: str | None = None
    """The LLaVA beneath a checkpoint that holds only LoRA and projector weights."""
    lora_alpha: NotNegative = 4
    """With which weight a LoRA that `checkpoint` brings is merged before a new one is trained."""
    scratch: ScratchSettings | None = None
    """Instead of a checkpoint: the sizes of a model with random weights."""
    pooling: tuple[Count, Count, Count] | None = None
    """Frames × rows × columns of visual tokens; the checkpoint's own when absent. From scratch that is `frames.count` ×
    12 × 12, or as many rows and columns as there are patches."""

    def __post_init__(self):
        if bool(self.checkpoint) == (self.scratch is not None):
            raise ValueError("model.checkpoint or model.scratch: name one of them, and only one, to start from")


@dataclass(frozen=True)
class DataSet:
    """Conversations, and the folder that their media lie in."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    path: str
    """A JSON list of `{video or image, QA: [{i, q, a}], optional start, end}`, or a folder with such files at any
    depth; or a manifest of one conversation a row: jsonl, or csv and parquet with columns `q` and `a`."""
    root: str | None = None
    """What its media are relative to; the file's own folder when absent."""
    weight: Positive = 1.0
    """How often each of its samples is seen in an epoch; 0.5 takes every other one."""


@dataclass(frozen=True)
class DataSettings:
    """What is learnt from."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    sets: tuple[DataSet, ...]
    """The files of conversations, each with its weight."""
    conversation: Literal["videochat2", "plain", "llavanext"] = "videochat2"
    """How turns become text: as the published models were trained, or as one of the templates asks them."""
    max_text_tokens: Count = 512
    """A conversation is cut there; visual tokens do not count."""
    max_bad: Share = 0.01
    """The share of samples that may be missing, empty or undecodable before training stops."""
    workers: Whole = 2
    """Processes that decode beside each training process; 0 decodes in it."""

    def __post_init__(self):
        if not self.sets:
            raise ValueError("data.sets is empty: name at least one file of conversations")


@dataclass(frozen=True)
class LoraSettings:
    """The low-rank update that is trained on the frozen language model."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    rank: Count = 128
    """Columns of its two factors."""
    alpha: Positive = 32
    """It is weighed by `alpha / rank` while it is trained."""
    dropout: ShareBelowOne = 0.05
    """The share of its inputs that is dropped."""
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    """Which linear layers of the language model it is on."""

    def __post_init__(self):
        if not self.targets:
            raise ValueError("train.lora.targets is empty: name at least one linear layer, such as q_proj")


@dataclass(frozen=True)
class TrainSettings:
    """How it is learnt; the defaults are those of the paper."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    trainable: tuple[Part, ...] = ("projector", "lora")
    """What learns; everything else is frozen."""
    lora: LoraSettings = field(default_factory=LoraSettings)
    """The LoRA, where `trainable` has one."""
    learning_rate: Positive = 2e-5
    """The highest rate of AdamW; it follows a cosine."""
    min_learning_rate_ratio: Share = 0.25
    """The share of it that the cosine ends on."""
    warmup_ratio: ShareBelowOne = 0.03
    """The share of steps over which the rate rises."""
    weight_decay: NotNegative = 0.02
    """Not applied to biases and norms."""
    max_grad_norm: NotNegative = 0.0
    """Longer gradients are shortened to this length; 0 leaves them."""
    epochs: Positive = 1.0
    """How often the data is seen."""
    max_steps: Count | None = None
    """Stop after so many optimizer steps instead."""
    global_batch: Count = 128
    """Samples in one optimizer step, over all processes."""
    batch_size: Count = 8
    """Samples that one process computes together; the rest of `global_batch` is accumulated."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """What is computed in; weights that learn are kept in float32."""
    gradient_checkpointing: bool = True
    """Compute the language model's activations twice instead of keeping them."""
    seed: Seed = 42
    """Where order, dropout and initial weights are drawn from."""
    log_every_steps: Count = 10
    """How often loss and rate go into loss.csv, as they do at every save."""
    save_every_steps: Count = 500
    """How often a state is saved from which a killed training goes on."""
    deepspeed: str | None = None
    """A DeepSpeed configuration: a JSON file, or the name of one that recap has: `zero2`, `zero3`, `zero3_offload`."""

    def __post_init__(self):
        if not self.trainable:
            raise ValueError("train.trainable is empty: name tower, projector, lora or llm")
        if "lora" in self.trainable and "llm" in self.trainable:
            raise ValueError("train.trainable: a language model that learns itself (llm) needs no lora")


@dataclass(frozen=True)
class TrainOutputSettings:
    """Where the result goes."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    path: str
    """The folder for `full/` and `adapter/`, the loss curve and the states to go on from."""
    save: tuple[Literal["full", "adapter"], ...] = ("full",)
    """`full` is the whole model in the published layout; `adapter` holds what was trained on top of the base."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """The type that weights are stored in."""
    lora_alpha: Positive | None = None
    """At which `model.lora_alpha` of a pipeline the stored LoRA is as strong as it was trained; `train.lora.alpha`
    when absent."""
    keep_states: Count = 1
    """How many states to go on from are kept."""


@dataclass(frozen=True)
class TrainRaySettings:
    """Training on a Ray cluster."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    workers: Whole = 0
    """Training processes on the cluster; 0 trains here (one process, or those that `torchrun` starts)."""
    address: str | None = None
    """A running cluster; without it a local session is started."""
    gpus_per_worker: NotNegative = 0
    """GPUs that each process takes."""
    cpus_per_worker: NotNegative = 1
    """CPUs that each process takes."""

    def __post_init__(self):
        if not self.gpus_per_worker + self.cpus_per_worker:
            raise ValueError("ray.cpus_per_worker must be above 0 where ray.gpus_per_worker is 0")

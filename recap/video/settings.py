"""The YAML's `frames` and `decode` sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FramesSettings:
    """What the model is shown of each clip."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}

    count: int = 16
    """Moments sampled evenly from each clip; the published checkpoints were trained with 16."""
    view: Literal["crop", "pad", "wide"] = "crop"
    """`crop` keeps the centre square, as PLLaVA does; `pad` shrinks the whole picture into the square;
    `wide` shows two squares, left and right (or top and bottom), at twice the visual tokens."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"frames.count is {self.count}; at least one frame is needed")


@dataclass(frozen=True)
class DecodeSettings:
    """How clips are read, and what happens to bad files."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}

    workers: int | Literal["auto"] = "auto"
    """Decoding processes, one core each; `auto` takes the cores that the machine has to spare."""
    memory_gb: float = 4.0
    """Memory one decoding process may use; 4K clips need about 1.2. Full-size frames in flight are kept
    under a thirty-second of it."""
    timeout_s: float = 60.0
    """Seconds after which a decoding process that has not answered is replaced."""
    truncated: Literal["quarantine", "caption"] = "quarantine"
    """What to do with a file that breaks off before its declared end; `caption` flags it instead."""
    fallback: bool = True
    """Try PyAV on files that decord reports an error on."""

    def __post_init__(self) -> None:
        if self.workers != "auto" and self.workers < 1:
            raise ValueError(f"decode.workers is {self.workers}; say 'auto' or a number from 1")
        for name in ("memory_gb", "timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"decode.{name} is {getattr(self, name)}; it must be positive")

    @property
    def batch_bytes(self) -> int:
        """Bytes of full-size frames that may be held at once."""
        return int(self.memory_gb * 2**30 / 32)

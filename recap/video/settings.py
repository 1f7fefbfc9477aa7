"""The YAML's `frames` and `decode` sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recap.bounds import Count, UpToAMillion


@dataclass(frozen=True)
class FramesSettings:
    """What the model is shown of each clip."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}

    count: Count = 16
    """Moments sampled evenly from each clip; the published checkpoints were trained with 16."""
    view: Literal["crop", "pad", "wide"] = "crop"
    """`crop` keeps the centre square, as PLLaVA does; `pad` shrinks the whole picture into the square;
    `wide` shows two squares, left and right (or top and bottom). With the `pllava` strategy each of the
    two is pooled to half the tokens, so that the prompt keeps its length."""


@dataclass(frozen=True)
class DecodeSettings:
    """How clips are read, and what happens to bad files."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    workers: Count | Literal["auto"] = "auto"
    """Decoding processes. `auto` takes the cores that engines leave, and where engines compute on the CPU one for each
    core; what all of them reserve of Ray's CPUs is worked out from that."""
    memory_gb: UpToAMillion = 4.0
    """Memory that a clip may take in a decoding process; 4K clips need about 1.2. Full-size frames in flight
    take no more than 1/32 of it."""
    timeout_s: UpToAMillion = 300.0
    """How long a clip may take in a decoding process, and a third of it in core-seconds: a loop without
    end is found out by the work it does, on a busy machine too."""
    sandbox: bool = True
    """Decode in child processes that a bad file may crash or stall; Linux only. Turn it off for files that
    you trust: one that crashes the decoder then takes the worker along."""
    truncated: Literal["quarantine", "caption"] = "quarantine"
    """What to do with a file that breaks off before its declared end; `caption` flags it instead."""
    fallback: bool = True
    """Read a file that its decoder reports an error on once more with PyAV, all frames one after another."""
    decoder: Literal["exact", "fast"] = "exact"
    """`exact` shows the pixels that the file holds, resized as PLLaVA does, bit for bit. `fast` shrinks frames
    before they become RGB and, in H.264 and HEVC that shrink to a third, leaves out the loop filter where
    errors cannot add up. It changes filmed pictures a little, drawn ones more: upright edges between colours
    blur, as colour is kept at half the width. A clip's `decoder` says how it was read."""
    hardware: Literal["none", "nvdec"] = "none"
    """`nvdec` has the decoder chip of an NVIDIA card decode what it can, to the same pixels as a processor does,
    which each decoder checks on a small clip at its start; the rest is decoded as without it. What is damaged
    inside a frame goes unnoticed."""

    fetch_folder: str | None = None
    """Where objects of a store, and files in tars, are copied to be decoded, one a worker at a time; the system's
    temporary folder when absent."""
    fetch_gb: UpToAMillion = 8.0
    """The largest of them that is copied; a larger one is quarantined."""

    @property
    def fetch_bytes(self) -> int:
        """`fetch_gb` in bytes."""
        return int(self.fetch_gb * 2**30)

    @property
    def memory_bytes(self) -> int:
        """`memory_gb` in bytes."""
        return int(self.memory_gb * 2**30)

    @property
    def cpu_s(self) -> float:
        """Core-seconds that a clip may take."""
        return self.timeout_s / 3

    @property
    def batch_bytes(self) -> int:
        """Bytes of full-size frames that may be held at once."""
        return self.memory_bytes // 32

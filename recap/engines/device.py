"""Where a process computes, made ready for it."""

from __future__ import annotations

import ctypes
from contextlib import suppress

import torch

from recap.pllava.attention import do_without_cudnn_attention

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
KEPT_BYTES, LARGEST_KEPT_BYTES = 256 << 20, 32 << 20  # the latter is the most that glibc takes


def prepared(setting: str, gpus: float, threads: int) -> str:
    """The device of a process that `setting` grants so many `gpus`, else `threads`.

    ValueError where torch sees no GPU.
    """
    if not gpus:
        torch.set_num_threads(threads)
        _keep_freed_memory()
        return "cpu"
    if not torch.cuda.is_available():
        raise ValueError(
            f"{setting} is {gpus}, but torch sees no GPU here: set it to 0, or install the torch build for this "
            "machine's GPU"
        )
    do_without_cudnn_attention()
    torch.backends.cudnn.allow_tf32 = False  # else the first layer of a float32 tower would be rounded to 10 bits
    return "cuda"


def _keep_freed_memory() -> None:
    """Activations of a few megabytes come and go with every layer.

    glibc would give them back to the system each time, which hands out zeroed pages anew: a tenth of a small model's
    time.
    """
    with suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)


def keep_to_share(gpus: float) -> None:
    """Let this process, which was granted `gpus`, take no more of a card's memory than that part of it."""
    if 0 < gpus < 1:
        torch.cuda.set_per_process_memory_fraction(gpus)

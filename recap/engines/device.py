"""Where a process computes, made ready for it."""

from __future__ import annotations

import torch

from recap.pllava.attention import do_without_cudnn_attention


def prepared(setting: str, gpus: float, threads: int) -> str:
    """The device of a process that `setting` grants so many `gpus`, else `threads`.

    ValueError where torch sees no GPU.
    """
    if not gpus:
        torch.set_num_threads(threads)
        return "cpu"
    if not torch.cuda.is_available():
        raise ValueError(
            f"{setting} is {gpus}, but torch sees no GPU here: set it to 0, or install the torch build for this "
            "machine's GPU"
        )
    do_without_cudnn_attention()
    return "cuda"


def keep_to_share(gpus: float) -> None:
    """Let this process, which was granted `gpus`, take no more of a card's memory than that part of it."""
    if 0 < gpus < 1:
        torch.cuda.set_per_process_memory_fraction(gpus)

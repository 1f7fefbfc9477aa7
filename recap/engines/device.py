"""Where a process computes, made ready for it."""

from __future__ import annotations

import torch


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


def do_without_cudnn_attention() -> None:
    """torch prefers it on an H100 and newer.

    It plans anew, in memory that torch does not count, for each of our hundreds of shapes; some are reported to fail on
    an H200 (pytorch#190321) or to give wrong numbers on a B200 (pytorch#193893).
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def keep_to_share(gpus: float) -> None:
    """Let this process, which was granted `gpus`, take no more of a card's memory than that part of it."""
    if 0 < gpus < 1:
        torch.cuda.set_per_process_memory_fraction(gpus)

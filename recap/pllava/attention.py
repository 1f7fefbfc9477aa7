"""Which of torch's kernels attend on a card."""

from __future__ import annotations

import torch


def do_without_cudnn_attention() -> None:
    """torch prefers it on an H100 and newer.

    It plans anew, in memory that torch does not count, for each of our hundreds of shapes; some are reported to fail on
    an H200 (pytorch#190321) or to give wrong numbers on a B200 (pytorch#193893).
    """
    torch.backends.cuda.enable_cudnn_sdp(False)

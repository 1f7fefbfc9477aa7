"""Which reader the settings ask for."""

from __future__ import annotations

import sys

from recap.video.reader import InProcessReader, Reader
from recap.video.sandbox import SandboxedReader
from recap.video.settings import DecodeSettings


def open_reader(settings: DecodeSettings) -> Reader:
    """The reader that `settings` ask for. The caller closes it.

    Raises ValueError where a sandbox is asked for and the system has none.
    """
    if not settings.sandbox:
        return InProcessReader(settings)
    if sys.platform != "linux":
        raise ValueError("decode.sandbox needs Linux; set it to false to decode trusted files elsewhere")
    return SandboxedReader(settings)

"""The child: reads clips for the process that started it, until that one lets go.

Started as `python -m recap.video.sandbox.child OUTSET`, with the JSON that `process` writes.
"""

from __future__ import annotations

import json
import socket
import sys
from contextlib import suppress
from typing import Any

from recap.records import ClipError, Frames
from recap.video.reader import DAMAGED, MEMORY_LIMIT, InProcessReader
from recap.video.sandbox.channel import Channel
from recap.video.sandbox.confine import MemoryLimit, confine, die_with, limited_cpu
from recap.video.sandbox.messages import answer_of, asked, refusal_of
from recap.video.settings import DecodeSettings


def main() -> None:
    """Confine this process, say hello, and answer."""
    outset = json.loads(sys.argv[1])
    settings = DecodeSettings(**outset["settings"])
    die_with(outset["lifeline"])
    offline = confine(settings.memory_bytes)
    _load_decoders()
    channel = Channel(socket.socket(fileno=outset["channel"]))
    try:
        reader = InProcessReader(settings, on_facts=lambda facts: channel.send({"facts": facts}))
    except ValueError as error:
        sys.exit(str(error))
    # From here on: a decoder chip maps more than any clip takes.
    limit = MemoryLimit(settings.memory_bytes)
    channel.send({"offline": offline})
    with suppress(EOFError):
        serve(channel, reader, outset["memory"], limit)


def serve(channel: Channel, reader: InProcessReader, memory: int, limit: MemoryLimit) -> None:
    """Answer questions until the other end closes, then raise EOFError."""
    while True:
        question = channel.receive()
        with limited_cpu(reader.settings.cpu_s):
            result = _read(reader, question)
        if limit.strained and _is_doubtful(result):
            result = ClipError("decode", MEMORY_LIMIT, "it may be memory that was wanting")
        channel.send(refusal_of(result) if isinstance(result, ClipError) else answer_of(result, memory))


def _read(reader: InProcessReader, question: dict[str, Any]) -> Frames | ClipError:
    location, request, (start_s, end_s) = asked(question)
    try:
        return reader.read(location, request, start_s=start_s, end_s=end_s)
    except ClipError as error:
        return error


def _is_doubtful(result: Frames | ClipError) -> bool:
    """Whether want of memory can look like this: FFmpeg reports it as damage, the others as an error."""
    if isinstance(result, ClipError) or DAMAGED in result.flags:
        return True
    return result.decoder.removesuffix("-fast") == "pyav"


def _load_decoders() -> None:
    """Before the memory limit, which is about what a clip takes."""
    import av  # noqa: F401
    import decord  # noqa: F401


if __name__ == "__main__":
    main()

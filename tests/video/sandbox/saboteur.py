"""A child that reads as the real one does, until a file's name tells it to misbehave.

`STAGE-DEED.mp4` misbehaves each time, `STAGE-DEED-once.mp4` the first time. A deed that stands before
the other arguments is done before the child has said hello.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from recap.video import reader
from recap.video.container import FirstFrame
from recap.video.sandbox import child


def segfault() -> None:
    ctypes.string_at(0)


def hang_in_c() -> None:
    ctypes.PyDLL(None).sleep(1000)  # which keeps the interpreter's lock


def burn() -> None:
    while True:
        pass


def allocate() -> None:
    hoard = []
    while True:
        hoard.append(b"x" * 2**24)


def bad_alloc() -> None:
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def be_chatty() -> None:
    for _ in range(10_000):
        if select.select([], [2], [], 0)[1]:
            os.write(2, b"a line that nobody asked for\n")
    segfault()


def talk_nonsense() -> None:
    os.write(json.loads(sys.argv[1])["channel"], b"\0\0\0\2{]")
    time.sleep(1000)


DEEDS = {
    "segfault": segfault,
    "abort": os.abort,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": hang_in_c,
    "sleep": lambda: time.sleep(1000),
    "burn": burn,
    "allocate": allocate,
    "bad_alloc": bad_alloc,
    "chatty": be_chatty,
    "nonsense": talk_nonsense,
}


def sabotage(module, name: str, stage: str, path_of=lambda path, *_: path) -> None:
    """Have `module.name` do first what the name of the file at hand asks for at `stage`."""
    honest = getattr(module, name)

    def sabotaged(*arguments):
        path = Path(path_of(*arguments))
        when, _, deed = path.stem.partition("-")
        done = path.with_suffix(".done")
        if when == stage and not (deed.endswith("-once") and done.exists()):
            done.touch()
            DEEDS[deed.removesuffix("-once")]()
        return honest(*arguments)

    setattr(module, name, sabotaged)


if __name__ == "__main__":
    sabotage(reader, "inspect", "probe")
    sabotage(FirstFrame, "look", "frame", lambda first, packet: first.stream.container.name)
    sabotage(reader, "decode", "decode")
    if len(sys.argv) > 2:
        DEEDS[sys.argv.pop(1)]()
    child.main()

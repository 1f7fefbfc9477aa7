"""Faults inside a run's own processes: every Python that has this folder on its PYTHONPATH imports this first.

RECAP_FAULT is the name of a `WITH_CLIP` and a clip's id, or `name[@where]:flag[:times]`: that fault of the engine, or
of what else `BREAKS`, comes as often as there are files flag-0, flag-1, … still to create, whichever process comes
first. In a decoder's child a clip's name is the fault.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import time
from functools import partial
from importlib import import_module


def first_come(flag: str, times: int) -> bool:
    """Whether this is one of the first `times` calls, over all processes."""
    for number in range(times):
        try:
            os.close(os.open(f"{flag}-{number}", os.O_CREAT | os.O_EXCL))
            return True
        except FileExistsError:
            continue
    return False


def out_of_memory() -> None:
    raise RuntimeError("CUDA out of memory")


def dies() -> None:
    os.kill(os.getpid(), 9)


def stalls() -> None:
    time.sleep(3600)


def breaks() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def segfault() -> None:
    ctypes.string_at(0)


def poisons() -> None:
    """From now on no engine of this process works any more."""
    from recap.engines.rehearsal import RehearsalEngine

    def dead(self):
        raise RuntimeError("CUDA error: device-side assert triggered")

    RehearsalEngine.step = dead
    dead(None)


def blinds() -> None:
    """From now on nothing that looks at pictures in this process works any more."""
    from recap.engines.front import RehearsalFront

    def blind(self, clips):
        raise RuntimeError("CUDA error: device-side assert triggered")

    RehearsalFront.requests = blind
    blind(None, None)


def spins() -> None:
    while True:
        pass


def allocates() -> None:
    held = []
    while True:
        held.append(bytearray(2**24))


WITH_CLIP = {"blinder": blinds, "crasher": segfault, "killer": dies, "poisoner": poisons, "staller": stalls}
CLIPS = {"segfault": segfault, "sleeps": stalls, "spins": spins, "allocates": allocates}


def break_engine(fault, flag: str, times: int) -> None:
    from recap.engines.rehearsal import RehearsalEngine

    step = RehearsalEngine.step

    def broken(self):
        if self.pending and first_come(flag, times):
            fault()
        return step(self)

    RehearsalEngine.step = broken


def break_opening(fault, flag: str, times: int) -> None:
    from recap.engines.rehearsal import RehearsalEngine

    init = RehearsalEngine.__init__

    def broken(self, *what, **how):
        if first_come(flag, times):
            fault()
        init(self, *what, **how)

    RehearsalEngine.__init__ = broken


def break_engine_with(fault, clip_id: str) -> None:
    from recap.engines.rehearsal import RehearsalEngine

    step = RehearsalEngine.step

    def broken(self):
        if any(request_id.startswith(clip_id) for request_id in self._requests):
            fault()
        return step(self)

    RehearsalEngine.step = broken


def break_front_with(fault, clip_id: str) -> None:
    from recap.engines.front import RehearsalFront

    requests = RehearsalFront.requests

    def broken(self, clips):
        if any(clip == clip_id for clip, _ in clips):
            fault()
        return requests(self, clips)

    RehearsalFront.requests = broken


def break_translator(fault, flag: str, times: int) -> None:
    from recap.translation.rehearsal import RehearsalTranslator

    one = RehearsalTranslator._one

    def broken(self, *asked):
        if first_come(flag, times):
            fault()
        return one(self, *asked)

    RehearsalTranslator._one = broken


def break_disk(folder: str, fault, flag: str, times: int) -> None:
    fsync = os.fsync

    def broken(descriptor):
        if folder in os.readlink(f"/proc/self/fd/{descriptor}") and first_come(flag, times):
            fault()
        return fsync(descriptor)

    os.fsync = broken


BREAKS = {"": break_engine, "opening": break_opening, "translator": break_translator} | {
    folder: partial(break_disk, folder) for folder in ("fragments", "shards")
}


def break_decoder() -> None:
    reader = import_module("recap.video.reader")
    decode = reader.decode

    def broken(location, *arguments):
        fault = CLIPS.get(os.path.basename(location).partition(".")[0])
        if fault:
            fault()
        return decode(location, *arguments)

    reader.decode = broken


if "recap.video.sandbox.child" in sys.orig_argv:
    break_decoder()
elif "RECAP_FAULT" in os.environ:
    name, path, *rest = os.environ["RECAP_FAULT"].split(":")
    if name in WITH_CLIP:
        (break_front_with if name == "blinder" else break_engine_with)(WITH_CLIP[name], path)
    else:
        what, _, where = name.partition("@")
        BREAKS[where](globals()[what], path, int(rest[0] if rest else 1))

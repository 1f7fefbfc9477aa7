"""How a child ended, and what is said of the file that it was reading."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from recap.records import ClipError
from recap.video.reader import MEMORY_LIMIT, stage_of

CPU_LIMIT, CRASHED, TIMEOUT = "cpu_limit", "crashed", "timeout"
DOING = {"probe": "probing the file", "decode": "decoding"}
_MESSAGES = {
    CPU_LIMIT: "{doing} took more core-seconds than decode.timeout_s allows",
    MEMORY_LIMIT: "{doing} wanted more memory than decode.memory_gb allows",
    TIMEOUT: "{doing} took longer than decode.timeout_s allows",
    CRASHED: "the decoder ended with {how} while {doing}",
}


class Strike(Exception):
    """A child that did not survive a clip: what it had learnt of the file until then, and its last words."""

    def __init__(self, kind: str, facts: Mapping[str, Any], how: str = "", said: str = ""):
        super().__init__(kind)
        self.kind, self.facts, self.how, self.said = kind, dict(facts), how, said

    @property
    def error(self) -> ClipError:
        """The same as a clip's error: in plain words, equal on every machine."""
        stage = stage_of(self.facts)
        message = _MESSAGES[self.kind].format(doing=DOING[stage], how=self.how)
        return ClipError(stage, self.kind, message, self.facts)


def strike_of(exit_code: int, said: str, facts: Mapping[str, Any]) -> Strike:
    """What the exit code (negative: a signal) and the last words of a child mean."""
    if exit_code == -signal.SIGPROF:
        return Strike(CPU_LIMIT, facts, said=said)
    if "bad_alloc" in said:  # C++ calls abort() when it is out of memory
        return Strike(MEMORY_LIMIT, facts, said=said)
    return Strike(CRASHED, facts, _name_of(exit_code), said)


def _name_of(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit status {exit_code}"
    try:
        return f"the signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"the signal {-exit_code}"

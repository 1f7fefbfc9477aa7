"""Notices an engine that goes on and gets nowhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from recap.engines.base import Completion, Request

PATIENCE = 8  # times what a text takes, as all begin again where memory runs out, and others' prompts come between


class Standstill:
    """Counts the steps since a text was last finished, and the seconds that they took.

    A step writes a token of each text in work, or takes in prompts: the next text is finished after about as many as
    it has positions. As steps may be slow, they must have taken `stall_s` seconds, too.
    """

    def __init__(self, stall_s: float):
        self._stall_s = stall_s
        self._steps, self._seconds = 0, 0.0

    def note(self, finished: Sequence[Completion], seconds: float, pending: Iterable[Request]) -> None:
        """After each step. Raises `TimeoutError` where no text of those `pending` will ever be finished, it seems."""
        if finished:
            self._steps, self._seconds = 0, 0.0
            return
        self._steps, self._seconds = self._steps + 1, self._seconds + seconds
        if self._seconds <= self._stall_s:
            return
        if self._steps > PATIENCE * max((each.positions for each in pending), default=math.inf):
            raise TimeoutError(f"no text was finished in {self._steps} steps, which took {self._seconds:.0f} s")

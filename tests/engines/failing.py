"""Engines that stop or die where they are told to."""

from __future__ import annotations

import threading

from recap.engines import RehearsalEngine

PATIENCE_S = 20


class Gated(RehearsalEngine):
    """Steps only while its gate is open, and dies where it is told to."""

    def __init__(self, **options):
        super().__init__(**options)
        self.gate, self.fault, self.threads, self.asked = threading.Event(), None, set(), []

    def submit(self, request):
        self.asked.append(request.request_id)
        super().submit(request)

    def step(self):
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(PATIENCE_S)
        if self.fault:
            raise self.fault
        return super().step()


class Idle(RehearsalEngine):
    """Goes on and writes nothing, where it has a clip whose name begins so."""

    def __init__(self, clip: str = ""):
        super().__init__()
        self._clip = clip

    def step(self):
        return [] if any(each.startswith(self._clip) for each in self._requests) else super().step()


class Mortal(RehearsalEngine):
    """Dies in the step after it was given a clip of `deadly`; `lives` is how often it still does."""

    lives = 0
    deadly = ()

    def step(self):
        if self.lives and any(request_id.split("/")[0] in self.deadly for request_id in self._requests):
            type(self).lives -= 1
            raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")
        return super().step()

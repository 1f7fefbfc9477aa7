"""Frames in, captions out, from any thread: the bridge between a scheduler and one engine."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from recap.engines.base import Completion, Engine
from recap.engines.front import Front
from recap.records import Caption, ClipError, Frames


@dataclass(eq=False)
class _Job:
    clip_id: str
    frames: Frames | None
    future: Future[tuple[Caption, ...]] = field(default_factory=Future)
    captions: list[Caption | None] = field(default_factory=list)


class Captioner:
    """Owns an engine and its front. Everything that computes runs in one background thread.

    What a clip is at fault for (`ValueError` or `ClipError` from front or engine) fails that clip
    alone. Anything else is the engine's end: every clip in hand fails with that exception, and
    `submit` refuses from then on. The caller bounds how much is in hand.
    """

    def __init__(self, engine: Engine, front: Front):
        self._engine, self._front = engine, front
        self._wake = threading.Condition()
        self._arrivals: deque[_Job] = deque()
        self._jobs: set[_Job] = set()
        self._places: dict[str, tuple[_Job, int]] = {}
        self._closing = False
        self._stopped_by: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="captioner", daemon=True)
        self._thread.start()

    def submit(self, clip_id: str, frames: Frames) -> Future[tuple[Caption, ...]]:
        """The clip's captions, in the order of its prompts.

        The future fails with `ClipError("caption", …)` where the clip is at fault, else with what
        ended the engine. Raises `RuntimeError` once the captioner has stopped.
        """
        job = _Job(clip_id, frames)
        with self._wake:
            if self._closing:
                raise RuntimeError("the captioner has stopped and takes no more clips") from self._stopped_by
            self._arrivals.append(job)
            self._wake.notify()
        return job.future

    def close(self) -> None:
        """Stop after the step under way; clips still in hand fail with `RuntimeError`."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._admit()
                for completion in self._engine.step():
                    self._deliver(completion)
            self._stop(RuntimeError("the captioner was closed before this clip had its captions"))
        except BaseException as error:
            self._stop(error)
        finally:
            self._engine.close()

    def _wait_for_work(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._closing or self._arrivals or self._engine.pending)
            return not self._closing

    def _admit(self) -> None:
        while job := self._next_arrival():
            try:
                self._start(job)
            except (ValueError, ClipError) as error:
                self._fail(job, error)

    def _next_arrival(self) -> _Job | None:
        """The next clip that is still wanted; it stays in `_jobs` until it is answered."""
        with self._wake:
            while self._arrivals:
                job = self._arrivals.popleft()
                if job.future.set_running_or_notify_cancel():
                    self._jobs.add(job)
                    return job
        return None

    def _start(self, job: _Job) -> None:
        requests = self._front.requests(job.clip_id, job.frames)
        assert requests, f"the front made no request for clip {job.clip_id}"
        job.frames = None
        job.captions = [None] * len(requests)
        for place, request in enumerate(requests):
            self._engine.submit(request)
            self._places[request.request_id] = (job, place)

    def _deliver(self, completion: Completion) -> None:
        job, place = self._places.pop(completion.request_id)
        if job.future.done():
            return
        try:
            job.captions[place] = self._front.caption(completion)
        except (ValueError, ClipError) as error:
            self._fail(job, error)
        else:
            self._finish_if_whole(job)

    def _finish_if_whole(self, job: _Job) -> None:
        if all(caption is not None for caption in job.captions):
            self._jobs.remove(job)
            job.future.set_result(tuple(job.captions))

    def _fail(self, job: _Job, error: ValueError | ClipError) -> None:
        if not isinstance(error, ClipError):
            error = ClipError("caption", "refused", str(error))
        self._jobs.remove(job)
        job.future.set_exception(error)

    def _stop(self, reason: BaseException) -> None:
        with self._wake:
            self._closing, self._stopped_by = True, reason
            for job in self._arrivals:
                if job.future.set_running_or_notify_cancel():
                    self._jobs.add(job)
            self._arrivals.clear()
        for job in self._jobs:
            job.future.set_exception(reason)
        self._jobs.clear()

"""Frames in, captions out, from any thread: the bridge between a scheduler and one engine."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from recap.engines.base import PROMPTS_PER_SLOT, Completion, Engine, EngineLost, EngineStalled, Request
from recap.engines.front import Front, refused
from recap.engines.second import Retry, Reviewer
from recap.engines.standstill import Standstill
from recap.engines.suspects import Asked, Job, Suspects
from recap.engines.watchdog import Watchdog
from recap.records import Caption, ClipError, Frames
from recap.timing import WAITS, Timing

MAX_REOPENINGS = 3
OPENING_S = 3600.0  # engine.stall_s, if that is more, is for opening an engine again, too
_JOIN_S = 0.1

Made = TypeVar("Made")
log = logging.getLogger(__name__)


class Captioner:
    """Owns an engine and its front. Everything that computes runs in one background thread.

    What a clip is at fault for (`ValueError` or `ClipError` from front or engine) fails that clip
    alone. An engine that dies, or steps on and on without finishing a text, is replaced by what `reopen` makes, and
    the clips that it had are asked again; where the next one dies with one of them too, one at a time, and what it
    dies of then fails.
    Where it dies for another reason, or too often for any, where the front fails, or where a step takes
    longer than `stall_s` seconds, that is the end; an `EngineLost` where another process might do better,
    as one is taken to where this one has worked before.
    Then every clip in hand fails with the reason, and `submit` refuses from then on. The caller bounds how
    much is in hand.

    A `reviewer` looks at each caption, and may have it asked for once more with the same visual tokens.
    """

    def __init__(
        self,
        engine: Engine,
        front: Front,
        *,
        reopen: Callable[[], Engine] | None = None,
        stall_s: float = 600.0,
        reviewer: Reviewer | None = None,
        timing: Timing | None = None,
    ):
        self._engine, self._front, self._reopen = engine, front, reopen
        self._reviewer = reviewer
        self._reopenings, self._suspects, self._death = 0, Suspects(), ""
        self._timing = timing or Timing("caption")
        self._wake = threading.Condition()
        self._arrivals: deque[Job] = deque()
        self._jobs: set[Job] = set()
        self._asked: dict[str, Asked] = {}
        self._closing = self._stalled = False
        self._stopped_by: BaseException | None = None
        self._stall_s, self._standstill = stall_s, Standstill(stall_s)
        self._watchdog = Watchdog(stall_s, partial(self._give_up, stall_s))
        run = partial(copy_context().run, self._run)  # what it logs is of the run that opened it
        self._thread = threading.Thread(target=run, name="captioner", daemon=True)
        self._thread.start()

    def submit(self, clip_id: str, frames: Frames, *, is_reviewed: bool = True) -> Future[tuple[Caption, ...]]:
        """The clip's captions, in the order of its prompts; the first attempts where they are not to be reviewed.

        The future fails with `ClipError("caption", …)` where the clip is at fault, else with what
        ended the engine. Raises that too, or `RuntimeError`, once the captioner has stopped.
        """
        job = Job(clip_id, frames, is_reviewed)
        with self._wake:
            self.check()
            self._arrivals.append(job)
            self._wake.notify()
        return job.future

    @property
    def slots(self) -> int:
        """Texts that its engine now writes at a time, at most; a clip has one for each of its prompts."""
        return self._engine.slots

    @property
    def has_written(self) -> bool:
        """Whether its engines have written any text so far."""
        return self._suspects.answered is not None

    def check(self) -> None:
        """Raises what `submit` would."""
        with self._wake:
            if self._closing:
                raise self._stopped_by or RuntimeError("the captioner was closed and takes no more clips")

    def close(self) -> None:
        """Stop after the step under way, unless it hangs; clips still in hand fail with `RuntimeError`."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        while self._thread.is_alive() and not self._stalled:
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                with self._watchdog:
                    self._admit()
                    for completion in self._step():
                        self._deliver(completion)
                if self._death:
                    self._start_again()
            self._stop(RuntimeError("the captioner was closed before this clip had its captions"))
        except BaseException as error:
            self._stop(error)
        finally:
            self._watchdog.close()
            self._engine.close()

    def _wait_for_work(self) -> bool:
        with self._wake:
            if not self._has_work():
                with self._timing.phase(WAITS["caption"]):
                    self._wake.wait_for(self._has_work)
            return not self._closing

    def _has_work(self) -> bool:
        return self._closing or bool(self._arrivals) or self._engine.pending > 0 or bool(self._suspects)

    def _admit(self) -> None:
        """Make the next clips' requests, as many as the front looks at together, where the engine will soon ask."""
        if self._suspects:
            if not self._engine.pending:
                self._ask(self._suspects.next())
            return
        if self._engine.pending >= PROMPTS_PER_SLOT * self._engine.slots:
            return
        jobs = self._next_arrivals()
        if not jobs:
            return
        with self._timing.phase("vision"):
            made = self._requests([(job.clip_id, job.frames) for job in jobs])
        for job, requests in zip(jobs, made, strict=True):
            job.frames = None
            if isinstance(requests, ClipError):
                self._fail(job, requests)
            else:
                self._start(job, requests)

    def _requests(self, clips: Sequence[tuple[str, Frames]]) -> list[list[Request] | ClipError]:
        try:
            return self._with_room(lambda: self._front.requests(clips))
        except Exception as error:
            if not self.has_written:
                raise
            raise _lost(error) from error

    def _with_room(self, make: Callable[[], Made]) -> Made:
        """What the front makes; where it is short of memory the engine gives up some of its own."""
        while True:
            try:
                return make()
            except MemoryError as error:
                self._engine.halve(str(error))

    def _next_arrivals(self) -> list[Job]:
        """The next clips that are still wanted; they stay in `_jobs` until they are answered."""
        jobs: list[Job] = []
        with self._wake:
            while self._arrivals and len(jobs) < self._front.together:
                job = self._arrivals.popleft()
                if job.future.set_running_or_notify_cancel():
                    jobs.append(job)
            self._jobs.update(jobs)
        return jobs

    def _start(self, job: Job, requests: list[Request]) -> None:
        assert requests, f"the front made no request for clip {job.clip_id}"
        job.captions = [None] * len(requests)
        try:
            for place, request in enumerate(requests):
                self._ask([Asked(job, place, request)])
                self._timing.counts["prompt_tokens"] += request.length
        except (ValueError, ClipError) as error:
            self._fail(job, error)

    def _ask(self, asked: Sequence[Asked]) -> None:
        for each in asked:
            self._engine.submit(each.request)
            self._asked[each.request.request_id] = each

    def _step(self) -> list[Completion]:
        """What is finished; nothing, and the `_death` that is to be dealt with, where the engine died."""
        try:
            return self._advance()
        except Exception as error:
            if self._suspects.is_on_trial:
                raise EngineLost(f"an engine cannot write any more what one wrote before: {error!r}") from error
            is_over = self._reopenings >= MAX_REOPENINGS and not self._suspects.is_bounded
            if self._reopen is None or is_over or self._suspects.is_hopeless:
                raise
            log.warning(
                "the engine died and is opened again; its %d texts are asked again: %r", len(self._asked), error
            )
            self._death = type(error).__name__
            return []

    def _advance(self) -> list[Completion]:
        began = time.monotonic()
        completions = self._engine.step()
        pending = (each.request for each in self._asked.values())
        self._standstill.note(completions, time.monotonic() - began, pending)
        return completions

    def _start_again(self) -> None:
        """No step: to load a model may take much longer."""
        limit_s = max(self._stall_s, OPENING_S)
        try:
            with closing(Watchdog(limit_s, partial(self._give_up, limit_s))) as watchdog, watchdog:
                self._engine.close()
                self._engine = self._reopen()
        except Exception as error:
            raise EngineLost(f"an engine that died cannot be opened again: {error!r}") from error
        self._reopenings, self._standstill = self._reopenings + 1, Standstill(self._stall_s)
        asked = [each for each in self._asked.values() if each.job in self._jobs]
        self._asked, death, self._death = {}, self._death, ""
        self._ask(self._suspects.after_death(asked, death))

    def _deliver(self, completion: Completion) -> None:
        asked = self._asked.pop(completion.request_id)
        if self._suspects.is_trial(asked):
            self._reopenings = 0
            if verdict := self._suspects.verdict():
                self._fail(*verdict)
            return
        self._suspects.answered = asked.request
        self._timing.counts["output_tokens"] += len(completion.token_ids)
        job = asked.job
        if job not in self._jobs:
            return
        try:
            caption, retry = self._read(completion, asked)
        except Exception as error:  # of a text: the engine has no part in it
            self._fail(job, error)
            return
        if retry is not None and self._ask_again(asked, caption, retry):
            return
        job.captions[asked.place] = caption
        if all(caption is not None for caption in job.captions) and self._is_ours_to_answer(job):
            job.future.set_result(tuple(job.captions))

    def _read(self, completion: Completion, asked: Asked) -> tuple[Caption, Retry | None]:
        """The better of two attempts, or the first one and how it should be repeated."""
        first = asked.first
        try:
            caption = self._front.caption(completion)
        except ClipError:
            if first is None:
                raise
            return first, None
        if self._reviewer is None or not asked.job.is_reviewed:
            return caption, None
        with self._timing.phase("review"):
            caption = self._reviewer.look(caption)
        if first is None:
            return caption, self._reviewer.retry(caption)
        return self._reviewer.better(first, caption), None

    def _ask_again(self, asked: Asked, caption: Caption, retry: Retry) -> bool:
        """False where there is no room for it."""
        try:
            request = self._with_room(lambda: self._front.again(asked.request, retry))
            self._ask([Asked(asked.job, asked.place, request, caption)])
        except (ValueError, MemoryError) as error:
            log.info("%s keeps its first caption: %s", asked.request.request_id, error)
            return False
        except Exception as error:
            raise _lost(error) from error
        self._timing.counts["prompt_tokens"] += request.length
        return True

    def _fail(self, job: Job, error: Exception) -> None:
        if self._is_ours_to_answer(job):
            told = error if isinstance(error, ClipError) else refused(error)
            job.future.set_exception(told.with_traceback(None))  # its frames would hold the prompt, and a card's memory

    def _is_ours_to_answer(self, job: Job) -> bool:
        """True once for each job: the watchdog answers them too."""
        with self._wake:
            ours = job in self._jobs
            self._jobs.discard(job)
            return ours

    def _give_up(self, after_s: float) -> None:
        reason = EngineStalled(
            f"the engine has not moved for {after_s:g} s and is taken for dead: end its process, as a hung call "
            "cannot be interrupted; if it was only slow, raise engine.stall_s"
        )
        self._stalled = True
        self._stop(reason)

    def _stop(self, reason: BaseException) -> None:
        with self._wake:
            self._closing = True
            self._stopped_by = self._stopped_by or reason
            for job in self._arrivals:
                if job.future.set_running_or_notify_cancel():
                    self._jobs.add(job)
            self._arrivals.clear()
            jobs, self._jobs = self._jobs, set()
        for job in jobs:
            job.future.set_exception(reason)


def _lost(error: Exception) -> EngineLost:
    return EngineLost(f"prompts cannot be made any more, as others were before: {error!r}")

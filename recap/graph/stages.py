"""The two stages of a clip, free of Ray: decode, then caption and commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Protocol

from recap.engines import Captioner, open_captioner
from recap.graph.calibration import Calibrator
from recap.graph.journal import Past
from recap.graph.plan import WorkPlan
from recap.graph.reviewing import CaptionReviewer
from recap.graph.turns import Turns
from recap.ledger import FragmentWriter
from recap.records import CAPTIONED, MISSING, QUARANTINED, Caption, Clip, ClipError, Frames, Record
from recap.storage import Fetcher, is_cut_off, location
from recap.timing import WAITS, Calibration, Spent, Timing
from recap.video import blank, open_reader

log = logging.getLogger(__name__)
LOOK_EVERY_S = 0.5
WITHHELD = "withheld"
OUT_OF_REACH = {"missing", "unreadable", "unreachable"}
Decoded = tuple[Clip, Frames | ClipError]
KILLER = "its process died with this clip among others, and crashed or hung with it alone, twice"


class Gate(Protocol):
    """What a stage may ask about the clips that are on their way to it."""

    async def admit(self, clip_ids: Sequence[str]) -> dict[str, Past] | None:
        """What `Journal.begin` says of the clips; None where the run is to stop and nothing more is admitted."""

    async def alone(self, clip_id: str | None) -> None:
        """Nothing but this clip is at work from now on; with None, anything may be again."""

    async def is_last(self) -> bool:
        """Nothing more is to come."""

    async def is_closed(self) -> bool:
        """The run is to stop."""

    async def is_over(self, clip_ids: Sequence[str], done: Sequence[str], committed: Sequence[str]) -> bool:
        """A call of these clips, of which those that are `done` are committed, or will be by a call that stands for it.

        Of the clips that are `committed`, of this call and of others, nothing is to be committed any more. Whether the
        call was the last of all.
        """


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a clip; `status` is its record's, or `withheld` where a stopping run made none."""

    clip_id: str
    status: str


class WorkerLost(Exception):
    """A round ended before its clips did: a worker died more often than it is restarted."""


class DecodeStage:
    """Clips in; frames, or the reason why there are none, out."""

    def __init__(self, plan: WorkPlan):
        self.request = plan.request
        self.reader = open_reader(plan.decode)
        self.fetcher = Fetcher(plan.decode.fetch_folder, plan.decode.fetch_bytes)
        self.timing = Timing("decode", lambda: self.reader.core_s)
        self.timing.begin(WAITS["decode"])

    def decode(self, clip: Clip) -> Frames | ClipError | None:
        """Never raises for a bad file: the error is the result.

        None where the file was there when the corpus was read, and now not even its folder is: no fault of the clip's.
        """
        self.timing.end(WAITS["decode"])
        self.timing.counts["clips"] += 1
        try:
            with ExitStack() as copy:
                with self.timing.phase("fetching"):
                    path = copy.enter_context(self.fetcher.local(clip.location))
                with self.timing.phase("decoding"):
                    return self.reader.read(path, self.request, start_s=clip.start_s, end_s=clip.end_s)
        except ClipError as error:
            return None if _is_cut_off(clip, error) else error
        finally:
            self.timing.begin(WAITS["decode"])

    def spent(self) -> Spent:
        """What this stage's time went into, up to now."""
        return self.timing.spent()

    def close(self) -> None:
        """Let the decoder go."""
        self.reader.close()
        self.fetcher.close()


def _is_cut_off(clip: Clip, error: ClipError) -> bool:
    if error.kind not in OUT_OF_REACH or clip.source_version == MISSING:
        return False
    return is_cut_off(location(clip.location))


class CaptionStage:
    """Frames in, committed records and receipts out. Keeps the frames of the last `keep` clips, or of a batch.

    So many `copies` of it may share a machine.
    """

    def __init__(self, plan: WorkPlan, writer: str, keep: int | None = None, copies: int = 1):
        self.plan = plan
        self.timing = Timing("caption")
        with self.timing.phase("starting"):
            self.captioner = _open_captioner(plan, self.timing, copies)
        self.calibrator = Calibrator(
            self.captioner, self.timing, keep or plan.engine.slots, prompts=len(plan.prompt.instructions)
        )
        self.calibrations: tuple[Calibration, ...] = ()
        self.is_calibrated = False
        self.writer = FragmentWriter(plan.fragments, plan.epoch, writer, plan.commit_every_s, timing=self.timing)
        self.in_flight = 0
        self.owed: list[str] = []  # the clips of calls that another stands for
        self.turns = Turns()

    async def caption(self, decoded: Sequence[Decoded]) -> list[Receipt]:
        """Caption some clips together; their records are with the writer when this returns.

        Raises what ended the engine, after committing what was finished before.
        """
        try:
            return list(await asyncio.gather(*(self._one(clip, frames) for clip, frames in decoded)))
        except BaseException:
            self.writer.flush()
            raise

    async def caption_beside(
        self, decoded: Sequence[tuple[Clip, Frames | ClipError | None]], gate: Gate
    ) -> list[Receipt]:
        """`caption` beside other calls; the only one in flight stays until its writer has committed.

        So whatever is not committed has a call that stands for it, and an idle stage does not write a
        small fragment a call: its writer commits in its own time. (Should the process die, what calls that
        are over had not committed is for the next round.) Once the gate is closed nothing new is admitted,
        and every call commits before it returns.
        """
        self.in_flight += 1
        clip_ids = [clip.clip_id for clip, _ in decoded]
        try:
            pasts = await gate.admit([clip.clip_id for clip, frames in decoded if frames is not None])
            admitted = [] if pasts is None else [pair for pair in decoded if pair[1] is not None]
            receipts = {receipt.clip_id: receipt for receipt in await self._with_care(admitted, pasts or {}, gate)}
            self.owed += clip_ids
            committed = await self._commit(gate)
        finally:
            self.in_flight -= 1
        # A call beside the calibration stands for what is not committed: we no longer do.
        if await gate.is_over(clip_ids, list(receipts), committed) and not await gate.is_closed():
            await self.calibrate()
        return [receipts.get(clip_id, Receipt(clip_id, WITHHELD)) for clip_id in clip_ids]

    async def _with_care(self, decoded: Sequence[Decoded], pasts: Mapping[str, Past], gate: Gate) -> list[Receipt]:
        """`caption`, of those that workers died with one at a time, the most dangerous ones last, if at all."""
        suspects, others = [], []
        for clip, frames in decoded:
            needs_care = clip.clip_id in pasts and isinstance(frames, Frames)
            (suspects if needs_care else others).append((clip, frames))
        async with self.turns.together():
            receipts = await self.caption(others)
        for clip, frames in sorted(suspects, key=lambda pair: pasts[pair[0].clip_id].alone):
            past = pasts[clip.clip_id]
            if past.is_deadly and not past.is_guilty:
                log.info("%s is left for another run: workers died with it", clip.clip_id)
                continue
            async with self.turns.alone():
                await self._prove_sound(past)
                receipts += await self._alone(clip, frames, past, gate)
        return receipts

    async def _alone(self, clip: Clip, frames: Frames, past: Past, gate: Gate) -> list[Receipt]:
        if past.is_guilty:
            return await self.caption([(clip, ClipError("caption", "engine_died", KILLER, _facts(frames)))])
        await gate.alone(clip.clip_id)
        receipts = await self.caption([(clip, frames)])
        await gate.alone(None)
        return receipts

    async def _prove_sound(self, past: Past) -> None:
        """Raises what ended the engine: it would else be laid at the door of the clip that comes now.

        An engine that has written nothing yet, or one before a clip of such a `past`, is asked about black pictures.
        """
        self.writer.flush()  # should this be the end
        self.captioner.check()
        if past.alone or not self.captioner.has_written:
            with suppress(ClipError):  # which is an answer, too
                shown = self.captioner.submit("blank", blank(self.plan.request), is_reviewed=False)
                await asyncio.wrap_future(shown)

    async def _commit(self, gate: Gate) -> list[str]:
        """Wait until nothing is pending, or another call stands for it; the clips of calls that owe nothing now."""
        while self.writer.pending:
            closed = await gate.is_closed()
            # Nothing is awaited from here until this call is over: of calls that end together the last one stays.
            if self.in_flight > 1 and not closed:
                return []
            if closed or await gate.is_last():
                self.writer.flush()
            else:
                await asyncio.sleep(LOOK_EVERY_S)
        owed, self.owed = self.owed, []
        return owed

    async def calibrate(self, least: int = 0) -> None:
        """Measure the engine alone, once, as `Calibrator.measure` does; a failure costs no more than the figure."""
        if self.is_calibrated:
            return
        self.is_calibrated = True
        try:
            measured = await self.calibrator.measure(least)
        except Exception:
            log.info("the engine could not be calibrated", exc_info=True)
        else:
            self.calibrations = (measured,) if measured else ()

    def spent(self) -> Spent:
        """What this stage's time went into so far."""
        return self.timing.spent(*self.calibrations)

    async def _one(self, clip: Clip, frames: Frames | ClipError) -> Receipt:
        record = await self._record(clip, frames)
        self.writer.append(record)
        return Receipt(clip.clip_id, record.status)

    async def _record(self, clip: Clip, frames: Frames | ClipError) -> Record:
        if isinstance(frames, ClipError):
            return self._quarantined(clip, frames)
        future: Future[tuple[Caption, ...]] = self.captioner.submit(clip.clip_id, frames)
        try:
            captions = await asyncio.wrap_future(future)
        except ClipError as error:
            return self._quarantined(clip, ClipError(error.stage, error.kind, error.message, _facts(frames)))
        self.timing.counts["clips"] += 1
        self.calibrator.keep(clip.clip_id, frames)
        captions = tuple(replace(caption, model=self.plan.model_name) for caption in captions)
        return self._with_keys(clip, CAPTIONED, captions=captions, **_facts(frames))

    def _quarantined(self, clip: Clip, error: ClipError) -> Record:
        reason = {"error_stage": error.stage, "error_kind": error.kind, "error_message": error.message}
        return self._with_keys(clip, QUARANTINED, **reason, **error.facts)

    def _with_keys(self, clip: Clip, status: str, **columns) -> Record:
        return Record(clip, status, caption_key=self.plan.caption_key, review_key=self.plan.review_key, **columns)

    def close(self) -> None:
        """Commit what is left and let the engine go."""
        try:
            self.writer.flush()
        finally:
            self.captioner.close()


def _open_captioner(plan: WorkPlan, timing: Timing, copies: int) -> Captioner:
    reviewer = CaptionReviewer(plan.review, plan.prompt, plan.engine)
    return open_captioner(
        plan.model,
        plan.prompt,
        plan.engine,
        plan.request,
        reviewer=reviewer,
        headroom=reviewer.headroom,
        copies=copies,
        timing=timing,
    )


def _facts(frames: Frames) -> dict:
    return {
        "flags": frames.flags,
        "frame_times_s": frames.times_s,
        "coverage": frames.coverage,
        "width": frames.width,
        "height": frames.height,
        "fps": frames.fps,
        "duration_s": frames.duration_s,
        "codec": frames.codec,
        "decoder": frames.decoder,
    }

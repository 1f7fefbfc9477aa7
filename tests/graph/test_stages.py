from __future__ import annotations

import asyncio
import errno
import shutil
import sys
from contextlib import closing
from dataclasses import replace
from unittest.mock import MagicMock

import numpy as np
import pytest

from recap.engines import Captioner, EngineLost, EngineSettings, ModelSettings, PromptSettings
from recap.engines.front import RehearsalFront
from recap.engines.rehearsal import RehearsalEngine
from recap.graph.journal import Past
from recap.graph.loop import loop_round
from recap.graph.plan import WorkPlan
from recap.graph.settings import RaySettings
from recap.graph.stages import WITHHELD, CaptionStage, DecodeStage, Receipt
from recap.graph.stopping import Stop
from recap.ledger.fragments import read_fragments
from recap.records import CAPTIONED, QUARANTINED, Clip, ClipError, FrameRequest, Frames
from recap.review import ReviewSettings
from recap.video import DecodeSettings


@pytest.fixture
def plan(tmp_path):
    return WorkPlan(
        request=FrameRequest(count=2, size=8),
        decode=DecodeSettings(),
        model=ModelSettings(),
        model_name="rehearsal",
        prompt=PromptSettings(),
        engine=EngineSettings("rehearsal"),
        ray=RaySettings(),
        review=ReviewSettings(repair=False),
        fragments=tmp_path,
        commit_every_s=60,
        epoch=1,
        caption_key="c",
        review_key="r",
    )


def clip(number: int) -> Clip:
    return Clip(f"{number:032x}", number, f"{number}.mp4", "", "1")


def frames(value: int = 0, count: int = 2) -> Frames:
    pixels = np.full((count, 8, 8, 3), value, np.uint8)
    return Frames(pixels, (0.0, 1.0), 1.0, 8, 8, 25.0, 2.0, "h264", "test")


def committed(folder) -> list[str]:
    return [clip_id for fragment in read_fragments(folder) for clip_id in fragment.table["clip_id"].to_pylist()]


class Gate:
    """Answers as it was told to; of `clips` in all none is done yet."""

    def __init__(self, last: bool, closed: bool = False, clips: int = 1, suspects: dict[str, Past] | None = None):
        self.last, self.closed, self.left = last, closed, clips
        self.suspects, self.journal, self.done, self.committed = suspects or {}, [], [], []

    async def is_last(self) -> bool:
        return self.last

    async def is_closed(self) -> bool:
        return self.closed

    async def admit(self, clip_ids) -> dict[str, Past] | None:
        self.journal.append(tuple(clip_ids))
        return (
            None
            if self.closed
            else {clip_id: self.suspects[clip_id] for clip_id in clip_ids if clip_id in self.suspects}
        )

    async def alone(self, clip_id: str | None) -> None:
        self.journal.append(clip_id)

    async def is_over(self, clips, done, committed) -> bool:
        self.left -= len(clips)
        self.done += done
        self.committed.append(sorted(committed))
        return self.left <= 0


def bad(number: int) -> tuple[Clip, ClipError]:
    return clip(number), ClipError("probe", "empty_file", "the file is empty")


def test_the_last_call_in_flight_commits_and_the_others_do_not_wait(plan, tmp_path):
    stage = CaptionStage(plan, "w")

    async def two_calls():
        slow = asyncio.create_task(stage.caption_beside([(clip(1), frames(1)), (clip(2), frames(2))], Gate(last=True)))
        quick = await stage.caption_beside([bad(3)], Gate(last=True))
        return [*quick, *await slow]

    receipts = asyncio.run(two_calls())
    assert [receipt.status for receipt in receipts] == [QUARANTINED, CAPTIONED, CAPTIONED]
    assert sorted(committed(tmp_path)) == [clip(n).clip_id for n in (1, 2, 3)]
    stage.close()


def test_what_a_call_left_to_another_is_said_to_be_committed_when_it_is(plan, tmp_path):
    stage, gate = CaptionStage(plan, "w"), Gate(last=False)

    async def two_calls():
        stands = asyncio.create_task(stage.caption_beside([bad(1)], gate))
        await asyncio.sleep(0.01)
        await stage.caption_beside([bad(2), (clip(3), None)], gate)
        assert gate.committed == [[]] and not committed(tmp_path)
        gate.closed = True
        await stands

    asyncio.run(two_calls())
    assert gate.committed[1] == sorted(clip(n).clip_id for n in (1, 2, 3))
    assert sorted(committed(tmp_path)) == sorted(clip(n).clip_id for n in (1, 2))
    stage.close()


def test_what_a_worker_died_with_is_captioned_alone(plan, tmp_path):
    stage = CaptionStage(plan, "w")
    one, two, three = (clip(number).clip_id for number in (1, 2, 3))
    gate = Gate(last=True, clips=9, suspects={one: Past(alone=1), three: Past()})

    async def two_calls():
        called = [stage.caption_beside([(clip(n), frames(n))], Gate(last=True, clips=9)) for n in (8, 9)]
        beside = asyncio.gather(*called)
        return await stage.caption_beside([(clip(n), frames(n)) for n in (1, 2, 3)], gate), await beside

    receipts, others = asyncio.run(two_calls())
    assert {receipt.clip_id for receipt in receipts} == {one, two, three}
    assert {receipt.status for receipt in (*receipts, *(each for some in others for each in some))} == {CAPTIONED}
    assert gate.journal == [(one, two, three), three, None, one, None]  # the more dangerous one last
    assert len(committed(tmp_path)) == 5
    stage.close()


@pytest.fixture
def asked(monkeypatch):
    """The ids of the clips that a captioner was given, in their order."""
    given, submit = [], Captioner.submit

    def watched(captioner, clip_id, frames, **how):
        given.append(clip_id)
        return submit(captioner, clip_id, frames, **how)

    monkeypatch.setattr(Captioner, "submit", watched)
    return given


def test_what_a_worker_died_of_is_quarantined_once_this_one_has_captioned_black_pictures(plan, tmp_path, asked):
    stage, killer = CaptionStage(plan, "w"), clip(1).clip_id
    gate = Gate(last=True, clips=9, suspects={killer: Past(alone=2, crashes=2)})
    receipts = asyncio.run(stage.caption_beside([(clip(1), frames(1))], gate))
    assert receipts == [Receipt(killer, QUARANTINED)] and asked == ["blank"]
    (row,) = [row for fragment in read_fragments(tmp_path) for row in fragment.table.to_pylist()]
    assert (row["error_stage"], row["error_kind"]) == ("caption", "engine_died")
    stage.close()


@pytest.mark.parametrize("past", [Past(), Past(alone=1, crashes=1), Past(alone=2, crashes=2)])
def test_an_engine_that_never_worked_accuses_nobody(plan, tmp_path, asked, monkeypatch, past):
    def broken(engine):
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(RehearsalEngine, "step", broken)
    stage, suspect = CaptionStage(plan, "w"), clip(1).clip_id
    gate = Gate(last=True, clips=9, suspects={suspect: past})
    with pytest.raises(RuntimeError, match="kernel image"):
        asyncio.run(stage.caption_beside([(clip(1), frames(1))], gate))
    assert asked == ["blank"] and gate.journal == [(suspect,)] and not committed(tmp_path)


@pytest.mark.parametrize("is_first", [True, False])
def test_an_engine_shows_that_it_works_where_it_has_not_yet(plan, asked, is_first):
    stage, ids = CaptionStage(plan, "w"), [clip(number).clip_id for number in range(4)]
    suspects = ids[0 if is_first else 1 :]
    gate = Gate(last=True, clips=9, suspects=dict.fromkeys(suspects, Past()) | {ids[3]: Past(alone=1)})
    asyncio.run(stage.caption_beside([(clip(number), frames(number)) for number in range(4)], gate))
    assert asked == [*(["blank"] if is_first else []), *ids[:3], "blank", ids[3]]  # and before a dangerous one
    stage.close()


def test_an_engine_that_breaks_later_accuses_no_clip_that_comes_then(plan, tmp_path, monkeypatch):
    step, wrote = RehearsalEngine.step, []

    def broken(engine):
        if wrote:
            raise RuntimeError("CUDA error")
        wrote.extend(done := step(engine))
        return done

    monkeypatch.setattr(RehearsalEngine, "step", broken)
    stage, gate = CaptionStage(plan, "w"), Gate(last=True, clips=9, suspects={clip(2).clip_id: Past(alone=1)})
    with pytest.raises(EngineLost):
        asyncio.run(stage.caption_beside([(clip(1), frames(1)), (clip(2), frames(2))], gate))
    assert committed(tmp_path) == [clip(1).clip_id] and clip(2).clip_id not in gate.journal


def test_black_pictures_that_a_model_refuses_are_an_answer(plan, monkeypatch):
    caption = RehearsalFront.caption

    def without_numbers(front, completion):
        if completion.request_id.startswith("blank"):
            raise ClipError("caption", "not_finite", "no numbers")
        return caption(front, completion)

    monkeypatch.setattr(RehearsalFront, "caption", without_numbers)
    stage = CaptionStage(plan, "w")
    gate = Gate(last=True, clips=9, suspects={clip(1).clip_id: Past()})
    (receipt,) = asyncio.run(stage.caption_beside([(clip(1), frames(1))], gate))
    assert receipt.status == CAPTIONED
    stage.close()


def test_a_bad_file_needs_no_engine(plan, tmp_path, asked, monkeypatch):
    monkeypatch.setattr(RehearsalEngine, "step", None)
    stage, gate = CaptionStage(plan, "w"), Gate(last=True, clips=9, suspects={clip(1).clip_id: Past()})
    (receipt,) = asyncio.run(stage.caption_beside([bad(1)], gate))
    assert receipt.status == QUARANTINED and not asked and committed(tmp_path) == [clip(1).clip_id]
    stage.close()


@pytest.mark.parametrize("past", [Past(alone=2), Past(alone=3, crashes=1)])
def test_what_workers_died_with_that_were_killed_from_without_is_left_to_another_run(plan, tmp_path, past):
    stage, killer = CaptionStage(plan, "w"), clip(1).clip_id
    gate = Gate(last=True, clips=9, suspects={killer: past})
    receipts = asyncio.run(stage.caption_beside([(clip(1), frames(1)), (clip(2), frames(2))], gate))
    assert [receipt.status for receipt in receipts] == [WITHHELD, CAPTIONED]
    assert gate.done == [clip(2).clip_id] == committed(tmp_path)
    stage.close()


class SlowGate(Gate):
    """Takes its time to answer, as an actor somewhere else does."""

    async def is_closed(self) -> bool:
        await asyncio.sleep(0.05)
        return self.closed


def test_of_calls_that_end_together_one_stays_to_commit(plan, tmp_path):
    stage = CaptionStage(plan, "w")

    async def together():
        await asyncio.gather(*(stage.caption_beside([bad(number)], SlowGate(last=True)) for number in range(4)))

    asyncio.run(together())
    assert len(committed(tmp_path)) == 4
    stage.close()


def test_a_call_that_comes_while_the_engine_is_calibrated_commits(plan, tmp_path, monkeypatch):
    stage, measuring, go_on = CaptionStage(plan, "w"), asyncio.Event(), asyncio.Event()

    async def measure(_):
        measuring.set()
        await go_on.wait()

    monkeypatch.setattr(stage.calibrator, "measure", measure)

    async def late():
        early = asyncio.create_task(stage.caption_beside([bad(1)], Gate(last=True)))
        await measuring.wait()
        await stage.caption_beside([bad(2)], Gate(last=True))
        go_on.set()
        await early

    asyncio.run(asyncio.wait_for(late(), 20))
    assert len(committed(tmp_path)) == 2
    stage.close()


def test_the_engine_is_calibrated_when_no_clip_is_left_anywhere(plan):
    stage, gate = CaptionStage(plan, "w"), Gate(last=True, clips=2)
    asyncio.run(stage.caption_beside([(clip(1), frames(1))], gate))  # the other one is decoded and on its way
    assert not stage.is_calibrated
    asyncio.run(stage.caption_beside([(clip(2), frames(2))], gate))
    assert stage.is_calibrated and stage.spent().counts["clips"] == 2
    stage.close()


def test_a_stopping_run_is_not_calibrated(plan):
    stage = CaptionStage(plan, "w")
    asyncio.run(stage.caption_beside([(clip(1), frames(1))], Gate(last=True, closed=True)))
    assert not stage.is_calibrated
    stage.close()


def test_an_idle_stage_waits_for_its_writer_and_not_for_every_call(plan, tmp_path, monkeypatch):
    monkeypatch.setattr("recap.graph.stages.LOOK_EVERY_S", 0.01)
    stage = CaptionStage(replace(plan, commit_every_s=0.5), "w")

    async def one_after_the_other():
        waiting = [asyncio.create_task(stage.caption_beside([bad(0)], Gate(last=False)))]
        for number in range(1, 5):
            await asyncio.sleep(0.05)
            assert not all(call.done() for call in waiting), "nothing stands for what is not committed"
            waiting.append(asyncio.create_task(stage.caption_beside([bad(number)], Gate(last=False))))
        await asyncio.gather(*waiting)

    asyncio.run(one_after_the_other())
    assert len(committed(tmp_path)) == 5 and len(list(tmp_path.iterdir())) == 1
    stage.close()


def test_a_closed_gate_admits_nothing_and_every_call_commits(plan, tmp_path):
    stage, gate = CaptionStage(plan, "w"), Gate(last=False)

    async def closes_meanwhile():
        early = asyncio.create_task(stage.caption_beside([(clip(1), frames(1)), (clip(2), None)], gate))
        await asyncio.sleep(0)
        gate.closed = True
        late = await stage.caption_beside([(clip(3), frames(3)), bad(4)], gate)
        return [*await early, *late]

    receipts = asyncio.run(closes_meanwhile())
    assert [receipt.status for receipt in receipts] == [CAPTIONED, WITHHELD, WITHHELD, WITHHELD]
    assert gate.journal[0] == (clip(1).clip_id,)  # no worker will have died with what it was not given
    assert committed(tmp_path) == [clip(1).clip_id]
    stage.close()


def test_a_clip_that_the_model_refuses_is_quarantined_with_what_is_known_of_it(plan, tmp_path):
    stage = CaptionStage(plan, "w")
    (receipt,) = asyncio.run(stage.caption([(clip(1), frames(count=3))]))
    assert receipt.status == QUARANTINED
    stage.close()
    assert committed(tmp_path) == [clip(1).clip_id]


def test_what_was_finished_before_the_engine_died_is_committed(plan, tmp_path):
    stage = CaptionStage(plan, "w")
    asyncio.run(stage.caption([(clip(1), frames(1))]))
    assert committed(tmp_path) == []

    def dies(*_):
        raise MemoryError("no room for another clip")

    stage.captioner._front.requests = dies
    with pytest.raises(EngineLost, match="no room for another clip"):
        asyncio.run(stage.caption([(clip(2), frames(2))]))
    assert committed(tmp_path) == [clip(1).clip_id]


def test_a_file_that_kills_its_decoder_costs_itself_alone(plan, tmp_path, home, monkeypatch):
    saboteur = (sys.executable, "-P", str(home / "tests/video/sandbox/saboteur.py"))
    monkeypatch.setattr("recap.video.sandbox.reader.COMMAND", saboteur)
    paths = [tmp_path / f"{name}.mp4" for name in ("first", "decode-segfault", "last")]
    for path in paths:
        shutil.copy(home / "pipelines/demo/clips/realshort.mp4", path)
    with closing(DecodeStage(plan)) as stage:
        first, killer, last = (stage.decode(replace(clip(1), location=str(path))) for path in paths)
    assert np.array_equal(first.pixels, last.pixels)
    assert (killer.stage, killer.kind, killer.facts["codec"]) == ("decode", "crashed", "h264")
    caption = CaptionStage(plan, "w")
    receipts = asyncio.run(caption.caption([(clip(1), first), (clip(2), killer), (clip(3), last)]))
    caption.close()
    assert [receipt.status for receipt in receipts] == [CAPTIONED, QUARANTINED, CAPTIONED]


def test_an_engine_goes_although_its_last_captions_cannot_be_committed(plan, monkeypatch):
    stage = CaptionStage(plan, "w")
    monkeypatch.setattr(stage.writer, "flush", MagicMock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        stage.close()
    with pytest.raises(RuntimeError, match="closed"):
        stage.captioner.check()
    assert not stage.captioner._thread.is_alive()


def test_a_loop_that_is_cut_off_leaves_its_books(plan):
    class Watching:
        def on_decoded(self, clips):
            self.decoded = clips

        def on_spent(self, spents, machine):
            self.counts = {spent.role: spent.counts.get("clips", 0) for spent in spents}

    watcher, stop = Watching(), Stop(grace_s=1)
    loop = loop_round(map(clip, range(4)), watcher, stop, plan=replace(plan, engine=replace(plan.engine, batch_size=2)))
    assert next(loop).status == QUARANTINED  # there is no such file
    loop.close()
    assert watcher.decoded == 2 and watcher.counts == {"decode": 2, "caption": 0}


def test_the_end_of_an_engine_is_laid_at_one_clips_door(plan, monkeypatch):
    """Of two suspects that wait to be captioned alone the first takes the engine along."""
    step, culprit = RehearsalEngine.step, clip(1).clip_id

    def poisoned(engine):
        if any(request_id.startswith(culprit) for request_id in engine._requests):
            raise RuntimeError("CUDA error")
        return step(engine)

    def no_other():
        raise RuntimeError("CUDA error")

    stage = CaptionStage(plan, "w")
    monkeypatch.setattr(RehearsalEngine, "step", poisoned)
    monkeypatch.setattr(stage.captioner, "_reopen", no_other)
    gate = Gate(last=False, clips=9, suspects={clip(number).clip_id: Past() for number in (1, 2)})

    async def calls():
        both = (stage.caption_beside([(clip(number), frames(number))], gate) for number in (1, 2))
        return await asyncio.gather(*both, return_exceptions=True)

    ends = asyncio.run(calls())
    assert [type(end) for end in ends] == [EngineLost, EngineLost]
    assert culprit in gate.journal and clip(2).clip_id not in gate.journal

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from recap.engines import Captioner, EngineSettings, PromptSettings, RehearsalEngine, RehearsalFront
from recap.graph import calibration
from recap.graph.calibration import Calibrator, steady
from recap.records import FrameRequest, Frames
from recap.timing import Calibration, Timing

SLOTS, CLIPS = 4, 9
REQUEST = FrameRequest(count=2, size=8)
ENGINE = EngineSettings("rehearsal", batch_size=SLOTS)


class Stepping(RehearsalEngine):
    """Time is the number of steps."""

    steps = 0

    def step(self):
        self.steps += 1
        return super().step()


def frames(number: int) -> Frames:
    pixels = np.full((2, 8, 8, 3), number, np.uint8)
    return Frames(pixels, (0.0, 1.0), 1.0, 8, 8, 25.0, 2.0, "h264", "test")


@pytest.fixture
def stepping(monkeypatch):
    engine = Stepping(batch_size=SLOTS, tokens_per_step=1, latency_s=0.0005)  # clips come faster than they are done
    captioner = Captioner(engine, RehearsalFront(PromptSettings(), ENGINE, REQUEST))
    monkeypatch.setattr(calibration, "_now", lambda: (float(engine.steps), 0.0))
    yield engine, captioner
    captioner.close()


def calibrator(captioner: Captioner, clips: int, engine_s: float, keep: int = CLIPS, prompts: int = 1) -> Calibrator:
    """After a run in which `clips` clips took an engine `engine_s` seconds."""
    timing = Timing("caption")
    timing.counts["clips"] = clips
    timing._seconds["decode_steps"] = engine_s
    found = Calibrator(captioner, timing, keep, prompts)
    for number in range(CLIPS):
        found.keep(f"c{number}", frames(number))
    return found


def test_full_slots_are_measured_and_neither_their_filling_nor_their_running_out():
    marks = [(float(second), second / 2) for second in (10, 20, 21, 22, 23, 24, 25, 40, 60, 80)]
    assert steady((5.0, 1.0), marks, full=2) == Calibration(4, 4.0, 2.0, 75.0)
    assert steady((5.0, 1.0), marks[:7], full=2) == Calibration(7, 20.0, 11.5, 20.0)


@pytest.mark.parametrize("count", (16, 17, 20, 23))
def test_texts_that_all_end_together_do_not_change_the_pace(count):
    marks = [(10.0 * (1 + place // 4), 0.0) for place in range(count)]
    found = steady((0.0, 0.0), marks, full=4)
    assert found.clip_s == pytest.approx(10 / 4) and found.clips >= 4


def test_clips_again_and_again_show_the_pace_of_a_long_run(stepping):
    engine, captioner = stepping
    found = asyncio.run(calibrator(captioner, 1000, 250.0).measure())
    assert found.clips == (50 - 3 * SLOTS) // SLOTS * SLOTS  # a twentieth of the run's time is worth 50
    begun = engine.steps
    for future in [captioner.submit(f"r{turn}", frames(turn % CLIPS)) for turn in range(20 * CLIPS)]:
        future.result(20)
    assert found.clip_s == pytest.approx((engine.steps - begun) / (20 * CLIPS), rel=0.15)


@pytest.mark.parametrize(
    ("clips", "engine_s", "least", "expected"),
    [
        (20, 1.0, 0, CLIPS),  # a short run: what is at hand
        (8, 4.0, 0, SLOTS),  # as far as two seconds go
        (7, 4.0, 0, 0),  # which do not fill all slots
        (200, 2000.0, 0, SLOTS),  # a slow engine: as many as fill it once
        (200, 8000.0, 0, 0),  # in two minutes, at most
        (1, 600.0, 0, 0),
        (4, 400.0, 3, 3),  # what was asked for, whatever it takes
        (CLIPS, 1.0, CLIPS, 4 * SLOTS - 3 * SLOTS),  # and enough to fill all slots
    ],
)
def test_a_calibration_takes_a_share_of_the_run(stepping, clips, engine_s, least, expected):
    found = asyncio.run(calibrator(stepping[1], clips, engine_s).measure(least))
    assert (found.clips if found else 0) == expected


def test_an_engine_that_gave_up_slots_is_measured_with_those_that_it_has(stepping):
    engine, captioner = stepping
    assert asyncio.run(calibrator(captioner, 3, 2.0).measure()) is None  # three clips do not fill four slots
    engine._batch_size = 2
    assert captioner.slots == 2 and asyncio.run(calibrator(captioner, 3, 2.0).measure()).clips == 3


def test_a_clip_with_several_prompts_fills_several_slots(stepping):
    found = asyncio.run(calibrator(stepping[1], 2, 2.0, prompts=2).measure())
    assert found.clips == SLOTS // 2


def test_only_the_last_clips_are_kept(stepping):
    captioner = stepping[1]
    found, asked = calibrator(captioner, 20, 1.0, keep=2), []
    submit = captioner.submit
    captioner.submit = lambda clip_id, pixels: asked.append(clip_id.split()[0]) or submit(clip_id, pixels)
    asyncio.run(found.measure(least=5))
    assert set(asked) == {"c7", "c8"}

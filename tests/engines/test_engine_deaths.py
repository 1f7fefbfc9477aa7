"""Engines that die, hang or come back: what becomes of the clips that they had."""

from __future__ import annotations

import threading
import time

import pytest

from recap.engines import (
    Captioner,
    EngineLost,
    EngineSettings,
    EngineStalled,
    PromptSettings,
    RehearsalEngine,
    RehearsalFront,
)
from recap.engines.captioner import MAX_REOPENINGS
from recap.records import ClipError, FrameRequest

from .failing import PATIENCE_S, Gated, Idle, Mortal


def test_a_dead_engine_fails_everything_in_hand_and_refuses_more(start, front, make_frames):
    engine = Gated(batch_size=2)
    captioner = start(engine, front)
    futures = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(5)]
    engine.fault = MemoryError("the accelerator is gone")
    engine.gate.set()
    assert all(future.exception(PATIENCE_S) is engine.fault for future in futures)
    with pytest.raises(MemoryError) as refusal:
        captioner.submit("late", make_frames(9))
    assert refusal.value is engine.fault


def test_an_engine_that_dies_once_costs_a_retry(start, front, make_frames, mortal, caplog):
    engine = mortal(1, "clip2")
    captioner = start(engine(batch_size=2), front, reopen=engine)
    futures = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(6)]
    texts = [future.result(PATIENCE_S)[0].text for future in futures]
    assert engine.lives == 0 and "texts are asked again" in caplog.text
    sound = start(RehearsalEngine(), front)
    assert texts == [sound.submit("a", make_frames(number)).result(PATIENCE_S)[0].text for number in range(6)]


def test_an_engine_that_dies_of_a_clip_costs_that_clip_alone(start, front, make_frames, mortal):
    engine = mortal(99, "clip2", "clip7")
    captioner = start(engine(batch_size=2), front, reopen=lambda: engine(batch_size=2))
    assert captioner.submit("clip0", make_frames(0)).result(PATIENCE_S)
    futures = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(1, 5)]
    (error,) = [error for future in futures if (error := future.exception(PATIENCE_S))]
    assert futures[1].exception() is error and (error.stage, error.kind) == ("caption", "engine_died")
    assert "(RuntimeError)" in error.message
    assert captioner.submit("clip7", make_frames(7)).exception(PATIENCE_S).kind == "engine_died"
    assert captioner.submit("clip8", make_frames(8)).result(PATIENCE_S)


@pytest.mark.parametrize("deaths", (0, 2), ids=("among others", "alone"))
def test_nobody_is_asked_again_for_a_clip_that_has_failed(start, make_frames, deaths):
    """Of its two texts the first could not be read, and the engine dies of the second."""

    class Asking(RehearsalFront):
        def caption(self, completion):
            if completion.request_id == "odd/short":
                raise ClipError("caption", "text", "not readable")
            return super().caption(completion)

    class Deadly(RehearsalEngine):
        opened = 0

        def __init__(self):
            super().__init__(batch_size=1)
            type(self).opened += 1

        def step(self):
            is_lonely = "odd/short" not in self._requests
            if "odd/medium" in self._requests and (is_lonely or self.opened <= deaths):
                raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")
            return super().step()

    prompt = PromptSettings(instruction=("short", "medium"))
    front = Asking(prompt, EngineSettings(kind="rehearsal"), FrameRequest(count=4, size=8))
    captioner = start(Deadly(), front, reopen=Deadly)
    assert captioner.submit("before", make_frames(0)).result(PATIENCE_S)
    assert captioner.submit("odd", make_frames(1)).exception(PATIENCE_S).kind == "text"
    assert captioner.submit("fine", make_frames(2)).result(PATIENCE_S) and Deadly.opened <= deaths + 2


def test_suspects_are_asked_one_at_a_time(start, front, make_frames, mortal):
    engine, together = mortal(2, "clip3"), []

    class Watched(engine):
        def step(self):
            together.append(len(self._requests) if captioner._suspects else 0)
            return super().step()

    captioner = start(Watched(batch_size=9), front, reopen=lambda: Watched(batch_size=9))
    futures = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(9)]
    assert all(future.result(PATIENCE_S) for future in futures)
    assert max(together) == 1
    assert captioner.submit("clip9", make_frames(9)).result(PATIENCE_S) and not captioner._suspects


@pytest.mark.parametrize("lives", (3, 4))
def test_a_clip_is_not_guilty_where_nothing_shows_that_the_engine_lives(start, front, make_frames, mortal, lives):
    """Three deaths with nothing written before; or a fourth, when what was written before is asked again."""
    engine = mortal(0, "clip0", "clip1")
    captioner = start(engine(), front, reopen=engine)
    if lives > 3:
        assert captioner.submit("clip0", make_frames(0)).result(PATIENCE_S)
    Mortal.lives = lives
    with pytest.raises(RuntimeError, match="CUBLAS"):
        captioner.submit("clip1", make_frames(1)).result(PATIENCE_S)
    with pytest.raises(RuntimeError, match="CUBLAS"):
        captioner.submit("clip3", make_frames(3))


@pytest.mark.parametrize("deadly", (["clip0"], ["clip3"], ["clip2", "clip5"]))
def test_which_clip_is_deadly_is_found_before_any_is_answered(start, front, make_frames, mortal, deadly):
    engine = mortal(99, *deadly)
    gated = Gated(batch_size=8)
    gated.fault = RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")
    captioner = start(gated, front, reopen=lambda: engine(batch_size=8))
    futures = {f"clip{number}": captioner.submit(f"clip{number}", make_frames(number)) for number in range(8)}
    gated.gate.set()
    errors = {name: future.exception(PATIENCE_S) for name, future in futures.items()}
    assert {name: error.kind for name, error in errors.items() if error} == dict.fromkeys(deadly, "engine_died")


def test_harmless_deaths_of_long_ago_do_not_shield_a_deadly_clip(start, front, make_frames, mortal):
    engine = mortal(MAX_REOPENINGS - 2, "clip0")
    captioner = start(engine(batch_size=8), front, reopen=lambda: engine(batch_size=8))
    assert captioner.submit("clip0", make_frames(0)).result(PATIENCE_S)
    mortal(99, "clip2")
    futures = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(1, 4)]
    errors = [future.exception(PATIENCE_S) for future in futures]
    assert [getattr(error, "kind", error) for error in errors] == [None, "engine_died", None]


@pytest.mark.parametrize("how", ("does not open", "does not write"))
def test_an_engine_that_worked_and_does_so_no_more_is_lost(start, front, make_frames, mortal, how):
    engine = mortal(0, "clip0", "clip1")

    def reopen():
        if how == "does not open":
            raise RuntimeError("CUDA error: device-side assert triggered")
        return engine()

    captioner = start(engine(), front, reopen=reopen)
    assert captioner.submit("clip0", make_frames(0)).result(PATIENCE_S)
    Mortal.lives = 99
    with pytest.raises(EngineLost, match=r"device-side assert|CUBLAS"):
        captioner.submit("clip1", make_frames(1)).result(PATIENCE_S)
    with pytest.raises(EngineLost):
        captioner.submit("clip2", make_frames(2))


def test_a_clip_is_not_guilty_that_an_engine_died_of_alone_but_once(start, front, make_frames, mortal):
    engine = mortal(0, "clip1")
    captioner = start(engine(), front, reopen=engine)
    assert captioner.submit("clip0", make_frames(0)).result(PATIENCE_S)
    Mortal.lives = 3
    assert captioner.submit("clip1", make_frames(1)).result(PATIENCE_S) and Mortal.lives == 0


def test_an_engine_is_not_opened_for_ever(start, front, make_frames, mortal):
    engine = mortal(99, *(f"clip{number}" for number in range(99)))
    captioner = start(engine(), front, reopen=lambda: mortal(0)())
    for number in range(MAX_REOPENINGS):
        Mortal.lives = 1
        assert captioner.submit(f"clip{number}", make_frames(number)).result(PATIENCE_S)
        mortal(0, *(f"clip{number}" for number in range(99)))
    Mortal.lives = 1
    with pytest.raises(RuntimeError, match="CUBLAS"):
        captioner.submit("clip98", make_frames(1)).result(PATIENCE_S)


def test_an_engine_that_hangs_is_given_up(start, front, make_frames):
    engine = Gated()
    captioner = start(engine, front, stall_s=0.1)
    futures = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(3)]
    for future in futures:
        with pytest.raises(EngineStalled, match=r"has not moved for 0\.1 s.*engine\.stall_s"):
            future.result(PATIENCE_S)
    with pytest.raises(EngineStalled):
        captioner.submit("late", make_frames(9))
    captioner.close()
    engine.gate.set()


def test_an_engine_that_goes_on_and_writes_nothing_is_replaced(start, front, make_frames):
    captioner = start(Idle(), front, reopen=RehearsalEngine, stall_s=0.05)
    futures = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(3)]
    assert all(future.result(PATIENCE_S) for future in futures)


def test_a_clip_of_which_every_engine_goes_on_and_writes_nothing_is_quarantined(start, front, make_frames):
    captioner = start(Idle("clip1"), front, reopen=lambda: Idle("clip1"), stall_s=0.05)
    futures = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(3)]
    with pytest.raises(ClipError, match=r"whenever it had this clip.*TimeoutError"):
        futures[1].result(PATIENCE_S)
    assert futures[0].result(PATIENCE_S) and futures[2].result(PATIENCE_S)


def test_an_engine_that_is_only_slow_is_not_replaced(start, front, make_frames):
    """All its steps together take much longer than one may."""
    captioner = start(RehearsalEngine(tokens_per_step=1, latency_s=0.05), front, stall_s=0.5)
    assert captioner.submit("a", make_frames(1)).result(PATIENCE_S)


def test_an_engine_that_moves_on_after_all_answers_nobody_twice(front, make_frames):
    engine = Gated()
    captioner = Captioner(engine, front, stall_s=0.05)
    future = captioner.submit("a", make_frames(1))
    assert isinstance(future.exception(PATIENCE_S), EngineStalled)
    engine.gate.set()
    captioner._thread.join(PATIENCE_S)
    assert not captioner._thread.is_alive() and engine._closed


def test_opening_an_engine_again_is_no_stall(start, front, make_frames, mortal):
    engine = mortal(1, "clip1")

    def reopen():
        time.sleep(0.5)
        return engine()

    captioner = start(engine(), front, reopen=reopen, stall_s=0.2)
    assert captioner.submit("clip1", make_frames(1)).result(PATIENCE_S)


@pytest.mark.parametrize("where", ("close", "reopen"))
def test_an_engine_that_hangs_as_it_is_replaced_is_given_up(start, front, make_frames, mortal, monkeypatch, where):
    over = threading.Event()
    monkeypatch.setattr("recap.engines.captioner.OPENING_S", 0.3)

    class Hanging(mortal(1, "clip1")):
        def close(self):
            if where == "close":
                over.wait(PATIENCE_S)

    captioner = start(Hanging(), front, reopen=lambda: over.wait(PATIENCE_S) and RehearsalEngine(), stall_s=0.1)
    with pytest.raises(EngineStalled, match=r"has not moved for 0\.3 s"):
        captioner.submit("clip1", make_frames(1)).result(PATIENCE_S)
    over.set()


def test_a_second_attempt_that_hangs_is_given_up(start, front, make_frames):
    over = threading.Event()

    class Reviewing:
        def look(self, caption):
            over.wait(PATIENCE_S)
            return caption

        def retry(self, caption):
            return None

    captioner = start(RehearsalEngine(), front, reviewer=Reviewing(), stall_s=0.2)
    with pytest.raises(EngineStalled):
        captioner.submit("clip1", make_frames(1)).result(PATIENCE_S)
    over.set()


def test_an_idle_captioner_is_not_stalled(start, front, make_frames):
    captioner = start(RehearsalEngine(), front, stall_s=0.05)
    time.sleep(0.2)
    assert captioner.submit("a", make_frames(1)).result(PATIENCE_S)

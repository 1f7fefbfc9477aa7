from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from recap.engines import (
    Captioner,
    EngineLost,
    EngineSettings,
    EngineStalled,
    ModelSettings,
    PromptSettings,
    RehearsalEngine,
    RehearsalFront,
    open_captioner,
)
from recap.engines.base import PROMPTS_PER_SLOT
from recap.engines.captioner import MAX_REOPENINGS
from recap.records import ClipError, FrameRequest

PROMPT, ENGINE = PromptSettings(), EngineSettings(kind="rehearsal")
REQUEST = FrameRequest(count=4, size=8)
PATIENCE_S = 20


class TwoPrompts(RehearsalFront):
    """Asks the same clip twice, the second time for a single token, which therefore returns first."""

    def requests(self, clips):
        (((clip_id, _),), ((request,),)) = clips, super().requests(clips)
        return [[request, replace(request, request_id=f"{clip_id}/brief", max_new_tokens=1)]]


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


@pytest.fixture
def front():
    return RehearsalFront(PROMPT, ENGINE, REQUEST)


class Mortal(RehearsalEngine):
    """Dies in the step after it was given a clip of `deadly`; `lives` is how often it still does."""

    lives = 0
    deadly = ()

    def step(self):
        if self.lives and any(request_id.split("/")[0] in self.deadly for request_id in self._requests):
            type(self).lives -= 1
            raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")
        return super().step()


@pytest.fixture
def mortal(monkeypatch):
    def make(lives: int, *deadly: str):
        monkeypatch.setattr(Mortal, "lives", lives)
        monkeypatch.setattr(Mortal, "deadly", deadly)
        return Mortal

    return make


@pytest.fixture
def start():
    opened = []

    def start(engine, front, **options) -> Captioner:
        opened.append((Captioner(engine, front, **options), engine))
        return opened[-1][0]

    yield start
    for captioner, engine in opened:
        if isinstance(engine, Gated):
            engine.gate.set()
        captioner.close()


class Crowded(RehearsalEngine):
    """Remembers how many requests it ever had at once."""

    most = 0

    def submit(self, request):
        super().submit(request)
        self.most = max(self.most, self.pending)


class Cramped(RehearsalFront):
    """Has no memory until the engine has given up so much of its own."""

    def __init__(self, *about, engine, slots):
        super().__init__(*about)
        self.engine, self.most = engine, slots

    def requests(self, clips):
        if self.engine.slots > self.most:
            raise MemoryError("CUDA out of memory")
        return super().requests(clips)


class Giving(RehearsalEngine):
    def halve(self, reason):
        assert reason == "CUDA out of memory"
        if self._batch_size == 1:
            raise MemoryError(reason)
        self._batch_size //= 2


@pytest.mark.parametrize("needed", (2, 1))
def test_a_front_short_of_memory_gets_some_of_the_engines(start, make_frames, needed):
    engine = Giving(batch_size=8)
    captioner = start(engine, Cramped(PROMPT, ENGINE, REQUEST, engine=engine, slots=needed))
    answers = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(9)]
    assert all(answer.result(PATIENCE_S) for answer in answers) and engine.slots == needed


def test_memory_that_nobody_has_is_the_end(start, make_frames):
    engine = Giving(batch_size=8)
    captioner = start(engine, Cramped(PROMPT, ENGINE, REQUEST, engine=engine, slots=0))
    with pytest.raises(MemoryError, match="CUDA out of memory"):
        captioner.submit("clip", make_frames(0)).result(PATIENCE_S)
    assert engine.slots == 1


def test_no_more_prompts_are_made_than_will_soon_be_read(start, front, make_frames):
    engine = Crowded(batch_size=2, tokens_per_step=1)
    captioner = start(engine, front)
    answers = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(20)]
    assert all(answer.result(PATIENCE_S) for answer in answers)
    assert engine.most == PROMPTS_PER_SLOT * engine.slots


def test_many_threads_submit_at_once(start, front, make_frames):
    captioner = start(RehearsalEngine(latency_s=0.001), front)

    def text(number):
        (caption,) = captioner.submit(f"clip{number}", make_frames(number)).result(PATIENCE_S)
        return caption.text

    with ThreadPoolExecutor(12) as pool:
        crowded = list(pool.map(text, range(40)))
    assert crowded == [text(number) for number in range(40)] and len(set(crowded)) == 40


def test_a_caption_says_where_it_comes_from(start, front, make_frames):
    (caption,) = start(RehearsalEngine(), front).submit("a", make_frames(1)).result(PATIENCE_S)
    assert (caption.prompt, caption.finish_reason) == ("dense", "stop")
    assert caption.output_tokens > 10 and caption.text.endswith(".")


def test_captions_come_in_prompt_order(start, make_frames):
    captioner = start(RehearsalEngine(), TwoPrompts(PROMPT, ENGINE, REQUEST))
    captions = captioner.submit("a", make_frames(1)).result(PATIENCE_S)
    assert [caption.prompt for caption in captions] == ["dense", "brief"]
    assert captions[1].finish_reason == "length" and captions[1].output_tokens == 1


def test_pixels_prompt_and_their_order_change_the_caption(front, start, make_frames):
    def text(frames, prompt=PROMPT):
        captioner = start(RehearsalEngine(), RehearsalFront(prompt, ENGINE, REQUEST))
        return captioner.submit("a", frames).result(PATIENCE_S)[0].text

    frames, swapped, touched = (make_frames(1) for _ in range(3))
    swapped.pixels[[0, 1]] = swapped.pixels[[1, 0]]
    touched.pixels[3, 7, 7, 2] ^= 1
    texts = [text(frames), text(swapped), text(touched), text(frames, PromptSettings(instruction="Say why."))]
    assert len(set(texts)) == 4 and text(make_frames(1)) == texts[0]


def test_a_clip_at_fault_fails_alone(start, front, make_frames):
    captioner = start(RehearsalEngine(latency_s=0.001), front)
    futures = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(6)]
    small = captioner.submit("small", make_frames(1, size=6))
    few = captioner.submit("few", make_frames(1, count=3))
    assert all(future.result(PATIENCE_S) for future in futures)
    for future in (small, few):
        error = future.exception(PATIENCE_S)
        assert isinstance(error, ClipError) and (error.stage, error.kind) == ("caption", "refused")
        assert "the model takes a multiple of 4 of (8, 8, 3)" in error.message
    assert captioner.submit("small", make_frames(1)).result(PATIENCE_S)


def test_an_engine_that_refuses_a_request_fails_that_clip_alone(start, front, make_frames):
    class Picky(RehearsalEngine):
        def submit(self, request):
            if request.request_id.startswith("odd"):
                raise ValueError("too long by 3")
            super().submit(request)

    captioner = start(Picky(), front)
    odd, fine = captioner.submit("odd", make_frames(1)), captioner.submit("fine", make_frames(2))
    assert odd.exception(PATIENCE_S).message == "too long by 3" and fine.result(PATIENCE_S)


def test_a_text_that_cannot_be_read_fails_that_clip_alone(start, make_frames):
    class Forgetful(TwoPrompts):
        def caption(self, completion):
            if completion.request_id.startswith("odd/"):
                raise ClipError("caption", "text", "not readable")
            return super().caption(completion)

    captioner = start(RehearsalEngine(batch_size=1), Forgetful(PROMPT, ENGINE, REQUEST))
    odd, fine = captioner.submit("odd", make_frames(1)), captioner.submit("fine", make_frames(2))
    assert odd.exception(PATIENCE_S).kind == "text" and len(fine.result(PATIENCE_S)) == 2


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


@pytest.mark.parametrize("where", ("caption", "look"))
def test_a_text_that_recap_stumbles_over_costs_its_clip_alone(start, make_frames, where):
    class Stumbling(RehearsalFront):
        def caption(self, completion):
            if where == "caption" and completion.request_id.startswith("odd"):
                raise IndexError("out of range")
            return super().caption(completion)

    class Reviewing:
        def look(self, caption):
            if where == "look" and "odd" in caption.prompt:
                raise IndexError("out of range")
            return caption

        def retry(self, caption):
            return None

    class Named(Stumbling):
        def caption(self, completion):
            return replace(super().caption(completion), prompt=completion.request_id)

    captioner = start(RehearsalEngine(), Named(PROMPT, ENGINE, REQUEST), reviewer=Reviewing())
    odd, fine = captioner.submit("odd", make_frames(1)), captioner.submit("fine", make_frames(2))
    assert odd.exception(PATIENCE_S).kind == "text_error" and "(IndexError)" in odd.exception().message
    assert fine.result(PATIENCE_S)


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


def test_clips_are_looked_at_together(start, make_frames):
    class Wide(RehearsalFront):
        together, seen = 3, []

        def requests(self, clips):
            self.seen.append(len(clips))
            return super().requests(clips)

    engine, front = Gated(), Wide(PROMPT, ENGINE, REQUEST)
    captioner = start(engine, front)
    futures = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(9)]
    engine.gate.set()
    assert all(future.result(PATIENCE_S) for future in futures)
    assert sum(front.seen) == 9 and max(front.seen) == 3


def test_an_unexpected_error_in_the_front_is_not_the_clips_fault(start, make_frames):
    class Broken(RehearsalFront):
        def requests(self, clips):
            raise RuntimeError("CUDA error")

    captioner = start(RehearsalEngine(), Broken(PROMPT, ENGINE, REQUEST))
    assert isinstance(captioner.submit("a", make_frames(1)).exception(PATIENCE_S), RuntimeError)
    with pytest.raises(RuntimeError, match="CUDA error"):
        captioner.submit("b", make_frames(2))


def test_close_answers_what_is_in_hand(front, make_frames):
    engine = Gated()
    captioner = Captioner(engine, front)
    futures = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(3)]
    closer = threading.Thread(target=captioner.close)
    closer.start()
    closer.join(0.05)
    engine.gate.set()
    closer.join(PATIENCE_S)
    assert not closer.is_alive() and engine.pending == 0
    assert all("closed" in str(future.exception(PATIENCE_S)) for future in futures)
    captioner.close()


def test_a_cancelled_clip_is_passed_over(start, front, make_frames):
    engine = Gated()
    captioner = start(engine, front)
    first = captioner.submit("first", make_frames(1))
    while not engine.threads:
        pass
    unwanted = captioner.submit("unwanted", make_frames(2))
    wanted = captioner.submit("wanted", make_frames(3))
    assert unwanted.cancel()
    engine.gate.set()
    assert first.result(PATIENCE_S) and wanted.result(PATIENCE_S)
    assert engine.asked == ["first/dense", "wanted/dense"]


def test_the_engine_computes_on_one_thread(start, front, make_frames):
    engine = Gated()
    engine.gate.set()
    captioner = start(engine, front)
    with ThreadPoolExecutor(4) as pool:
        futures = pool.map(lambda number: captioner.submit(f"{number}", make_frames(number)), range(8))
        assert all(future.result(PATIENCE_S) for future in futures)
    assert engine.threads == {"captioner"}


def test_a_rehearsal_opens_without_torch(make_frames):
    script = (
        "import sys; from recap.engines import *; from recap.records import FrameRequest;"
        "rehearsal = EngineSettings(kind='rehearsal');"
        "captioner = open_captioner(ModelSettings(), PromptSettings(), rehearsal, FrameRequest());"
        "captioner.close(); assert not {'torch', 'transformers', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_opened_rehearsal_captions(make_frames):
    captioner = open_captioner(ModelSettings(), PROMPT, ENGINE, FrameRequest(count=4, size=64))
    assert captioner.submit("a", make_frames(1, size=64, windows=2)).result(PATIENCE_S)[0].text
    captioner.close()

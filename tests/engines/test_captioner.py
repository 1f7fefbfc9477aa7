from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from recap.engines import (
    Captioner,
    EngineLost,
    EngineSettings,
    ModelSettings,
    PromptSettings,
    RehearsalEngine,
    RehearsalFront,
    open_captioner,
)
from recap.engines.base import PROMPTS_PER_SLOT
from recap.records import ClipError, FrameRequest

from .failing import PATIENCE_S, Gated

PROMPT, ENGINE = PromptSettings(), EngineSettings(kind="rehearsal")
REQUEST = FrameRequest(count=4, size=8)


class TwoPrompts(RehearsalFront):
    """Asks the same clip twice, the second time for a single token, which therefore returns first."""

    def requests(self, clips):
        (((clip_id, _),), ((request,),)) = clips, super().requests(clips)
        return [[request, replace(request, request_id=f"{clip_id}/brief", max_new_tokens=1)]]


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
    error = odd.exception(PATIENCE_S)
    assert error.kind == "text" and len(fine.result(PATIENCE_S)) == 2
    assert error.__traceback__ is None, "whoever keeps the error keeps the prompt"


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


@pytest.mark.parametrize("fault", (RuntimeError, MemoryError))
def test_a_front_that_worked_and_does_so_no_more_may_do_so_in_another_process(start, make_frames, fault):
    class Breaking(RehearsalFront):
        def requests(self, clips):
            if clips[0][0] == "culprit":
                raise fault("CUDA error")
            return super().requests(clips)

    captioner = start(RehearsalEngine(), Breaking(PROMPT, ENGINE, REQUEST))
    assert not captioner.has_written
    assert captioner.submit("a", make_frames(1)).result(PATIENCE_S) and captioner.has_written
    assert isinstance(captioner.submit("culprit", make_frames(2)).exception(PATIENCE_S), EngineLost)
    with pytest.raises(EngineLost):
        captioner.submit("b", make_frames(3))


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

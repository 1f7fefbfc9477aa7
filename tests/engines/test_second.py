from __future__ import annotations

from dataclasses import replace

import pytest

from recap.engines import (
    Captioner,
    EngineLost,
    EngineSettings,
    PromptSettings,
    RehearsalEngine,
    RehearsalFront,
    Retry,
)
from recap.engines.pllava_front import PllavaFront
from recap.pllava import load_pllava
from recap.pllava.random_checkpoint import write_random_checkpoint
from recap.pllava.visual import get_strategy
from recap.records import ClipError, FrameRequest

ENGINE, PATIENCE_S = EngineSettings(kind="rehearsal", max_new_tokens=4), 20
DENSE = PromptSettings()
REQUEST = FrameRequest(count=4, size=56)


class Picky:
    """Wants captions that were not cut off, and asks for longer ones."""

    def __init__(self, retry: Retry | None):
        self.wanted, self.seen = retry, []

    def look(self, caption):
        self.seen.append(caption)
        return replace(caption, verdict="fail" if caption.finish_reason == "length" else "pass")

    def retry(self, caption):
        return self.wanted if caption.verdict == "fail" else None

    def better(self, first, second):
        return replace(second, repairs=1)


class Full(RehearsalEngine):
    """Has no room for anything longer than the first attempts."""

    def submit(self, request):
        if request.max_new_tokens > ENGINE.max_new_tokens:
            raise ValueError("too long")
        super().submit(request)


@pytest.fixture
def caption(make_frames):
    """A function that captions one clip with an engine and a reviewer."""

    def caption(reviewer, engine=RehearsalEngine, prompt=DENSE, number=1, front=RehearsalFront):
        captioner = Captioner(engine(), front(prompt, ENGINE, FrameRequest(4, 8)), reviewer=reviewer)
        try:
            return captioner.submit("a", make_frames(number)).result(PATIENCE_S)
        finally:
            captioner.close()

    return caption


def test_a_caption_that_fails_is_asked_for_once_more_with_other_decoding(caption):
    reviewer = Picky(Retry(200, 1.0))
    (kept,) = caption(reviewer)
    first, second = reviewer.seen
    assert (first.finish_reason, second.finish_reason, kept.repairs) == ("length", "stop", 1)
    assert kept.text == second.text and second.text.startswith(first.text)


def test_what_is_not_to_be_reviewed_is_asked_for_once(make_frames):
    reviewer = Picky(Retry(200, 1.0))
    captioner = Captioner(RehearsalEngine(), RehearsalFront(DENSE, ENGINE, FrameRequest(4, 8)), reviewer=reviewer)
    try:
        (kept,) = captioner.submit("a", make_frames(1), is_reviewed=False).result(PATIENCE_S)
    finally:
        captioner.close()
    assert kept.finish_reason == "length" and not kept.verdict and not reviewer.seen


def test_other_words_are_another_prompt_about_the_same_pictures(caption):
    longer, other = Picky(Retry(200, 1.0)), Picky(Retry(200, 1.0, "Say it otherwise."))
    assert caption(longer)[0].text != caption(other)[0].text
    assert caption(other)[0].text == caption(Picky(Retry(200, 1.0, "Say it otherwise.")))[0].text
    assert caption(other)[0].text != caption(other, number=2)[0].text


def test_a_second_attempt_is_the_last(caption):
    reviewer = Picky(Retry(5, 1.0))
    assert caption(reviewer)[0].verdict == "fail" and len(reviewer.seen) == 2


def test_each_prompt_has_an_attempt_of_its_own(caption):
    captions = caption(Picky(Retry(200, 1.0)), prompt=PromptSettings(instruction=("dense", "short")))
    assert [(each.prompt, each.repairs) for each in captions] == [("dense", 1), ("short", 1)]


def test_where_the_engine_has_no_room_the_first_caption_stays(caption):
    (kept,) = caption(Picky(Retry(200, 1.0)), engine=Full)
    assert (kept.verdict, kept.repairs, kept.output_tokens) == ("fail", 0, 4)


@pytest.mark.parametrize("where", ("again", "caption"))
def test_where_nothing_comes_of_a_second_attempt_the_first_caption_stays(caption, where):
    class Failing(RehearsalFront):
        def again(self, request, retry):
            if where == "again":
                raise MemoryError("CUDA out of memory")
            return super().again(request, retry)

        def caption(self, completion):
            if reviewer.seen:
                raise ClipError("caption", "not_finite", "no numbers")
            return super().caption(completion)

    reviewer = Picky(Retry(200, 1.0))
    (kept,) = caption(reviewer, front=Failing)
    assert (kept.verdict, kept.repairs) == ("fail", 0)


def test_a_front_that_fails_at_a_second_attempt_may_work_in_another_process(caption):
    class Breaking(RehearsalFront):
        def again(self, request, retry):
            raise RuntimeError("CUDA error")

    with pytest.raises(EngineLost, match="CUDA error"):
        caption(Picky(Retry(200, 1.0)), front=Breaking)


def test_a_second_attempt_short_of_memory_gets_some_of_the_engines(make_frames):
    class Giving(RehearsalEngine):
        def halve(self, reason):
            self._batch_size //= 2

    class Cramped(RehearsalFront):
        def again(self, request, retry):
            if engine.slots > 2:
                raise MemoryError("CUDA out of memory")
            return super().again(request, retry)

    engine, front = Giving(batch_size=8), Cramped(DENSE, ENGINE, FrameRequest(4, 8))
    captioner = Captioner(engine, front, reviewer=Picky(Retry(200, 1.0)))
    try:
        answers = [captioner.submit(f"clip{number}", make_frames(number)) for number in range(3)]
        assert [answer.result(PATIENCE_S)[0].repairs for answer in answers] == [1, 1, 1]
        assert engine.slots == 2
    finally:
        captioner.close()


@pytest.mark.parametrize("template", ["plain", "eval_recaption_llavanext"])
def test_the_second_prompt_holds_the_visual_tokens_of_the_first(tmp_path, make_frames, template):
    folder = write_random_checkpoint(tmp_path, seed=3, num_frames=4, pooling_shape=(4, 2, 2))
    pllava = load_pllava(folder, dtype="float32")

    def front(instruction):
        prompt = PromptSettings(template, {"one": instruction})
        return PllavaFront(pllava, prompt, ENGINE, REQUEST, get_strategy("pllava"))

    clips = [("a", make_frames(7, count=4, size=56))]
    one, other = "Describe it.", "What happens, and where?"
    ((first,),), ((wanted,),) = (front(words).requests(clips) for words in (one, other))
    again = front(one).again(first, Retry(9, 1.2, other))
    assert again.embeddings.equal(wanted.embeddings) and again.embeddings.shape != first.embeddings.shape
    assert (again.max_new_tokens, again.repetition_penalty, again.request_id) == (9, 1.2, first.request_id)
    assert front(one).again(first, Retry(9, 1.2)).embeddings is first.embeddings

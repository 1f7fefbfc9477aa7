from __future__ import annotations

import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import nn

from recap.engines import (
    Completion,
    EngineSettings,
    ModelSettings,
    PromptSettings,
    check_length,
    complete,
    frame_request,
    open_captioner,
    packing,
    pllava_front,
    prompt_texts,
)
from recap.engines.pllava_front import PllavaFront, open_pllava
from recap.pllava import load_pllava, normalise
from recap.pllava.random_checkpoint import write_random_checkpoint
from recap.pllava.visual import get_strategy
from recap.records import FrameRequest
from recap.timing import Timing
from recap.video import blank

SIDE, COUNT, PATIENCE_S = 56, 4, 60
REQUEST = FrameRequest(COUNT, SIDE)
ENGINE = EngineSettings(max_new_tokens=24, batch_size=3, repetition_penalty=1.1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny-pllava"
    return write_random_checkpoint(folder, seed=3, num_frames=COUNT, pooling_shape=(COUNT, 2, 2))


@pytest.fixture(scope="session")
def settings(checkpoint) -> ModelSettings:
    return ModelSettings(str(checkpoint), dtype="float32")


@pytest.fixture
def pllava(checkpoint):
    return load_pllava(checkpoint, dtype="float32")


def front_of(model, prompt, count=COUNT, strategy="pllava"):
    request = replace(REQUEST, count=count)
    return PllavaFront(model, prompt, ENGINE, request, get_strategy(strategy))


def ask(front, frames):
    (requests,) = front.requests([("a", frames)])
    return requests


def captions(settings, frames_of, engine=ENGINE):
    captioner = open_captioner(settings, PromptSettings(), engine, REQUEST)
    futures = {clip_id: captioner.submit(clip_id, frames) for clip_id, frames in frames_of.items()}
    try:
        return {clip_id: future.result(PATIENCE_S)[0] for clip_id, future in futures.items()}
    finally:
        captioner.close()


@pytest.fixture
def clips(make_frames):
    return {f"clip{number}": make_frames(number, size=SIDE) for number in range(7)}


def test_captions_equal_the_models_own_generation(settings, pllava, clips):
    ids = pllava.tokenizer(prompt_texts(PromptSettings())["dense"], return_tensors="pt")["input_ids"]
    found = captions(settings, clips, EngineSettings(max_new_tokens=24))
    for clip_id, frames in clips.items():
        pixels = normalise(frames.pixels)
        (new,) = pllava.generate(ids, torch.ones_like(ids), pixels, max_new_tokens=24)
        assert found[clip_id].text == pllava.tokenizer.decode(new, skip_special_tokens=True).strip()
        assert found[clip_id].output_tokens == len(new)
    assert len({caption.text for caption in found.values()}) > len(clips) // 2


@pytest.mark.parametrize("temperature", (0.0, 0.8))
def test_captions_do_not_depend_on_the_company(settings, clips, temperature):
    decoding = {"max_new_tokens": 24, "repetition_penalty": 1.2, "temperature": temperature, "seed": 5}
    crowd = captions(settings, clips, EngineSettings(batch_size=4, **decoding))
    alone = captions(settings, dict(reversed(clips.items())), EngineSettings(batch_size=1, **decoding))
    assert crowd == alone


def test_draws_differ_from_clip_to_clip_and_with_the_seed(settings, make_frames):
    same = {"a": make_frames(1, size=SIDE), "b": make_frames(1, size=SIDE)}
    texts = [
        caption.text
        for seed in (0, 1)
        for caption in captions(settings, same, EngineSettings(max_new_tokens=24, temperature=1.0, seed=seed)).values()
    ]
    assert len(set(texts)) == 4


def test_many_threads_share_one_model(settings, clips):
    captioner = open_captioner(settings, PromptSettings(), ENGINE, REQUEST)
    with ThreadPoolExecutor(7) as pool:
        futures = list(pool.map(lambda item: captioner.submit(*item), clips.items()))
        crowded = {clip_id: future.result(PATIENCE_S)[0] for clip_id, future in zip(clips, futures, strict=True)}
    captioner.close()
    assert crowded == captions(settings, clips)


@pytest.mark.parametrize("slots", (1, 2, 3, 7))
def test_fifty_clips_equal_the_models_own_generation(settings, pllava, make_frames, slots):
    """Two prompts of different length, so that slots of both stand side by side."""
    prompt = PromptSettings(instruction={"long": "dense", "mine": "Say it."})
    engine = EngineSettings(max_new_tokens=12, batch_size=slots)
    captioner = open_captioner(settings, prompt, engine, REQUEST)
    futures = [captioner.submit(f"clip{number}", make_frames(number, size=SIDE)) for number in range(25)]
    found = [future.result(PATIENCE_S) for future in futures]
    captioner.close()
    for number, captions in enumerate(found):
        pixels = normalise(make_frames(number, size=SIDE).pixels)
        for text, caption in zip(prompt_texts(prompt).values(), captions, strict=True):
            ids = pllava.tokenizer(text, return_tensors="pt")["input_ids"]
            (new,) = pllava.generate(ids, torch.ones_like(ids), pixels, max_new_tokens=12)
            assert caption.text == pllava.tokenizer.decode(new, skip_special_tokens=True).strip()


def test_a_model_partly_on_disk_is_served(settings, clips):
    halved = {"": "cpu", "language_model.model.layers.1": "disk"}
    assert captions(replace(settings, device_map=halved), clips) == captions(settings, clips)


class TestSeveralClipsInTheTower:
    def test_they_are_seen_as_each_alone(self, pllava, clips):
        front = front_of(pllava, PromptSettings())
        together = front.requests(list(clips.items()))
        for clip, (request,) in zip(clips.items(), together, strict=True):
            ((alone,),) = front.requests([clip])
            torch.testing.assert_close(request.embeddings, alone.embeddings)
            assert request.request_id == alone.request_id == f"{clip[0]}/dense"

    def test_the_tower_runs_once(self, pllava, clips, monkeypatch):
        seen = []
        tower = pllava.vision_tower.forward
        monkeypatch.setattr(pllava.vision_tower, "forward", lambda pixels: seen.append(len(pixels)) or tower(pixels))
        front_of(pllava, PromptSettings()).requests(list(clips.items()))
        assert seen == [len(clips) * COUNT]

    def test_on_a_cpu_each_clip_is_taken_by_itself(self, pllava):
        assert front_of(pllava, PromptSettings()).together == 1

    def test_other_windows_and_wrong_frames_go_their_own_way(self, pllava, make_frames):
        front = front_of(pllava, PromptSettings())
        wide, small = make_frames(1, size=SIDE, windows=2), make_frames(1, size=8)
        (one,), refusal, (two,) = front.requests([("a", make_frames(1, size=SIDE)), ("b", small), ("c", wide)])
        assert (refusal.stage, refusal.kind) == ("caption", "refused") and "(4, 8, 8, 3)" in refusal.message
        assert torch.equal(one.embeddings, ask(front, make_frames(1, size=SIDE))[0].embeddings)
        assert torch.equal(two.embeddings, ask(front, wide)[0].embeddings)

    @pytest.mark.parametrize(
        "error", (torch.OutOfMemoryError("CUDA out of memory"), torch.AcceleratorError("CUDA error: out of memory"))
    )
    def test_where_memory_is_short_they_are_fewer(self, pllava, clips, monkeypatch, error):
        front = front_of(pllava, PromptSettings())
        front.together = len(clips)
        whole = front.requests(list(clips.items()))
        tower = pllava.vision_tower.forward

        def cramped(pixels):
            if len(pixels) > 2 * COUNT:
                raise error
            return tower(pixels)

        monkeypatch.setattr(pllava.vision_tower, "forward", cramped)
        for (some,), (expected,) in zip(front.requests(list(clips.items())), whole, strict=True):
            torch.testing.assert_close(some.embeddings, expected.embeddings)
        assert 1 <= front.together <= 2
        monkeypatch.setattr(pllava.vision_tower, "forward", lambda _: cramped(range(99)))
        with pytest.raises(MemoryError, match=str(error)):
            front.requests(list(clips.items()))


def test_two_windows_share_the_tokens_of_one(pllava, make_frames):
    front = front_of(pllava, PromptSettings())
    (one,) = ask(front, make_frames(1, size=SIDE))
    (two,) = ask(front, make_frames(1, size=SIDE, windows=2))
    assert two.length == one.length and not torch.equal(two.embeddings, one.embeddings)


def test_every_prompt_is_asked_and_the_tower_runs_once(pllava, make_frames, monkeypatch):
    seen = []
    tower = pllava.vision_tower.forward
    monkeypatch.setattr(pllava.vision_tower, "forward", lambda pixels: seen.append(len(pixels)) or tower(pixels))
    front = front_of(pllava, PromptSettings(instruction={"long": "dense", "mine": "Say it."}))
    requests = ask(front, make_frames(1, size=SIDE))
    assert [request.request_id for request in requests] == ["a/long", "a/mine"]
    assert requests[0].length > requests[1].length and seen == [COUNT]


@pytest.mark.parametrize("strategy", ("n_frame", "video_chatgpt", "image_grid"))
def test_the_baselines_run_through_the_same_front(settings, strategy, make_frames):
    chosen = replace(settings, visual_tokens=strategy)
    request = frame_request(chosen, ENGINE, COUNT, "crop")
    check_length(replace(chosen), PromptSettings(), ENGINE, request)
    pictures = request.count // (request.tiles[0] * request.tiles[1])
    captioner = open_captioner(chosen, PromptSettings(), ENGINE, request)
    try:
        frames = make_frames(1, size=SIDE, count=pictures)
        for clip in (frames, blank(request)):
            assert captioner.submit("a", clip).result(PATIENCE_S)[0].output_tokens
    finally:
        captioner.close()


def test_a_prompt_that_does_not_fit_the_context_is_refused(settings):
    with pytest.raises(ValueError, match=r"prompt dense: .*lower max_new_tokens"):
        check_length(settings, PromptSettings(), replace(ENGINE, max_new_tokens=100_000), REQUEST)
    check_length(settings, PromptSettings(), ENGINE, REQUEST)


def test_frames_from_a_read_only_store_are_taken_without_a_warning(pllava, make_frames, recwarn):
    frames = make_frames(1, size=SIDE)
    frames.pixels.setflags(write=False)
    assert ask(front_of(pllava, PromptSettings()), frames)
    assert not [warning for warning in recwarn if "writable" in str(warning.message)]


def test_numbers_that_the_models_type_cannot_hold_cost_their_clip_alone(checkpoint, make_frames):
    model = load_pllava(checkpoint, dtype="float16")
    model.projector.linear_1.weight.data *= 1e4
    (overflown,) = front_of(model, PromptSettings()).requests([("a", make_frames(1, size=SIDE))])
    assert (overflown.stage, overflown.kind) == ("caption", "not_finite") and "model.dtype" in overflown.message


def test_so_do_numbers_that_overflow_on_the_way_to_a_word(settings, make_frames, monkeypatch):
    load = pllava_front.load_pllava

    def overflowing(*about, **how):
        model = load(*about, **how)
        model.language_model.model.norm.weight.data *= torch.inf
        return model

    monkeypatch.setattr(pllava_front, "load_pllava", overflowing)
    captioner = open_captioner(settings, PromptSettings(), ENGINE, REQUEST)
    try:
        error = captioner.submit("a", make_frames(1, size=SIDE)).exception(PATIENCE_S)
    finally:
        captioner.close()
    assert (error.stage, error.kind) == ("caption", "not_finite")


@pytest.mark.parametrize("dtype", ("float32", "bfloat16"))
def test_the_model_computes_in_the_type_asked_for(settings, make_frames, dtype):
    open_engine, front = open_pllava(
        replace(settings, dtype=dtype), PromptSettings(), ENGINE, REQUEST, 0, Timing("caption")
    )
    (request,) = ask(front, make_frames(1, size=SIDE))
    assert request.embeddings.dtype == getattr(torch, dtype)
    assert [done.request_id for done in complete(open_engine(), [request])] == ["a/dense"]


@pytest.mark.skipif(not packing.pays(), reason="nothing is packed on this processor")
def test_in_float32_tower_and_language_model_are_packed(settings):
    _, front = open_pllava(settings, PromptSettings(), ENGINE, REQUEST, 0, Timing("caption"))
    assert not any(type(module) is nn.Linear for module in front._model.modules())


def test_another_number_of_frames_than_the_model_was_trained_on(pllava, make_frames):
    front = front_of(pllava, PromptSettings(), count=2)
    (request,) = ask(front, make_frames(1, size=SIDE, count=2))
    (usual,) = ask(front_of(pllava, PromptSettings()), make_frames(1, size=SIDE))
    assert request.length == usual.length


def test_the_decode_side_knows_the_size(settings, pllava):
    front = front_of(pllava, PromptSettings())
    assert frame_request(settings, ENGINE, COUNT, "crop") == front.request


def test_a_caption_is_named_clean_and_normalised(pllava, make_frames):
    front = front_of(pllava, PromptSettings(instruction="Say it."))
    words = pllava.tokenizer("a dog", add_special_tokens=False)["input_ids"]
    ids = (pllava.tokenizer.bos_token_id, *words, pllava.tokenizer.pad_token_id)
    (request,) = ask(front, make_frames(1, size=SIDE))
    caption = front.caption(Completion(request.request_id, ids, "length"))
    assert (caption.text, caption.prompt) == ("a dog", "custom")
    assert (caption.finish_reason, caption.output_tokens) == ("length", len(ids))


def test_text_is_composed(pllava, monkeypatch):
    front = front_of(pllava, PromptSettings())
    monkeypatch.setattr(pllava.tokenizer, "decode", lambda ids, **_: unicodedata.normalize("NFD", " café\n"))
    assert front.caption(Completion("a/dense", (), "stop")).text == "café"


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({"instruction": "dens"}, "no instruction 'dens'"),
        ({"template": "plan"}, "no prompt template 'plan'"),
        ({"system": "Be brief."}, "template 'plain' has no place for it"),
        ({"instruction": "Look at <image> again."}, "<image>"),
    ],
)
@pytest.mark.parametrize("kind", ("transformers", "rehearsal"))
def test_prompts_that_cannot_be(settings, prompt, message, kind):
    with pytest.raises(ValueError, match=message):
        open_captioner(settings, PromptSettings(**prompt), EngineSettings(kind), REQUEST)


def test_checkpoints_that_cannot_be_asked(pllava):
    prompt = PromptSettings()
    pllava.config = type("Config", (), {"image_size": SIDE, "image_token_id": 99_999})
    with pytest.raises(ValueError, match=r"image token \(id 99999\) 0 times"):
        front_of(pllava, prompt)
    pllava.tokenizer = None
    with pytest.raises(ValueError, match=r"has no tokenizer\.json"):
        front_of(pllava, prompt)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there(settings):
    with pytest.raises(ValueError, match="torch sees no GPU here"):
        open_pllava(settings, PromptSettings(), EngineSettings(gpus_per_actor=1), REQUEST, 0, Timing("caption"))

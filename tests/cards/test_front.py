"""The way from frames to captions on a card."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recap.engines import EngineSettings, ModelSettings, PromptSettings, open_captioner, problems
from recap.engines.pllava_front import CLIPS_TOGETHER, PllavaFront
from recap.engines.second import Retry
from recap.pllava import load_pllava
from recap.pllava.visual import get_strategy
from recap.records import FrameRequest, Frames
from recap.translation import Translation, TranslationSettings, open_translator

FRAMES, SIDE, PATIENCE_S = 4, 56, 60
REQUEST = FrameRequest(FRAMES, SIDE)
ENGINE = EngineSettings(max_new_tokens=16, batch_size=4)


@pytest.fixture
def clips(make_frames) -> dict[str, Frames]:
    return {f"clip{number}": make_frames(number, size=SIDE) for number in range(9)}


@pytest.fixture
def model(checkpoint) -> ModelSettings:
    return ModelSettings(str(checkpoint), dtype="float32")


def captions(model, clips, engine):
    captioner = open_captioner(model, PromptSettings(), engine, REQUEST)
    answers = {clip_id: captioner.submit(clip_id, frames) for clip_id, frames in clips.items()}
    try:
        return {clip_id: answer.result(PATIENCE_S) for clip_id, answer in answers.items()}
    finally:
        captioner.close()


@pytest.mark.parametrize("temperature", (0.0, 0.8))
@pytest.mark.parametrize("share", (1, 0.5))
def test_captions_are_those_of_the_cpu(model, clips, temperature, share):
    engine = replace(ENGINE, temperature=temperature)
    expected = captions(model, clips, engine)
    assert captions(model, clips, replace(engine, gpus_per_actor=share)) == expected
    assert len({str(caption) for caption in expected.values()}) > 3
    assert torch.cuda.get_per_process_memory_fraction() == share


def test_the_tower_takes_fewer_clips_where_memory_is_short(chip, checkpoint, clips):
    front = PllavaFront(
        load_pllava(checkpoint, device="cuda"), PromptSettings(), ENGINE, REQUEST, get_strategy("pllava")
    )
    four = list(clips.items())[:CLIPS_TOGETHER]
    expected = [request.embeddings for (request,) in front.requests(four)]
    chip.forget_peak()
    before = chip.used(0)
    kept = front.requests(four[:2])
    chip.resize(0, before + 3 * (chip.peak(0) - before) // 2)  # room for two clips, not for four
    del kept
    assert front.together == CLIPS_TOGETHER
    found = [request.embeddings for (request,) in front.requests(four)]
    assert front.together == CLIPS_TOGETHER // 2
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize("room", (0.5, 0.1))
def test_a_tower_without_room_takes_it_from_the_cache(chip, model, clips, room, caplog):
    """Something else fills the card once the slots are made; they are halved until the tower fits beside them."""
    engine = replace(ENGINE, batch_size=8, max_new_tokens=1000, gpus_per_actor=1, temperature=0.5)
    expected = captions(model, clips, engine)
    captioner = open_captioner(model, PromptSettings(), engine, REQUEST)
    try:
        first, *others = clips.items()
        found = {first[0]: captioner.submit(*first).result(PATIENCE_S)}
        chip.resize(0, chip.used(0) + int(room * 4 * SIDE**2 * 3 * 4 * FRAMES))
        answers = {clip_id: captioner.submit(clip_id, frames) for clip_id, frames in others}
        found |= {clip_id: answer.result(PATIENCE_S) for clip_id, answer in answers.items()}
    finally:
        captioner.close()
    assert found == expected and "out of memory with 8 clips" in caplog.text


def test_what_a_card_must_hold_is_said_before(chip, model):
    chip.resize(0, 4 * 10**9)
    chip.resize(1, 4 * 10**9)
    engine = replace(ENGINE, gpus_per_actor=1)
    (problem,) = problems(model, PromptSettings(), engine, on_cluster=False)
    assert "needs a GPU with about 5 GB, and the largest here gives it 4 GB" in problem
    placed = replace(model, device_map={"": 0, "language_model": 1})
    assert problems(placed, PromptSettings(), replace(engine, gpus_per_actor=2), on_cluster=False) == []


def test_prompts_for_vllm_wait_in_the_machines_own_memory(checkpoint, clips):
    parts = load_pllava(checkpoint, device="cuda"), PromptSettings()
    vllm, ours = (
        PllavaFront(*parts, EngineSettings(kind), REQUEST, get_strategy("pllava")) for kind in ("vllm", "transformers")
    )
    for retry in (Retry(64, 1.0), Retry(64, 1.0, "What moves?")):
        ((first,),), ((other,),) = (front.requests([("clip0", clips["clip0"])]) for front in (vllm, ours))
        for waits, stays in ((first, other), (vllm.again(first, retry), ours.again(other, retry))):
            assert (waits.embeddings.device.type, stays.embeddings.device.type) == ("cpu", "cuda")
            assert torch.equal(waits.embeddings, stays.embeddings.cpu())


@pytest.fixture
def cudnn_attention():
    torch.backends.cuda.enable_cudnn_sdp(True)
    yield
    torch.backends.cuda.enable_cudnn_sdp(True)


@pytest.mark.parametrize("gpus", (0, 1))
def test_a_card_attends_without_cudnn(cudnn_attention, model, clips, gpus):
    captions(model, dict([*clips.items()][:1]), replace(ENGINE, gpus_per_actor=gpus))
    assert torch.backends.cuda.cudnn_sdp_enabled() == (not gpus)


def test_a_card_convolves_in_full_float32(monkeypatch, model, clips):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    captions(model, dict([*clips.items()][:1]), replace(ENGINE, gpus_per_actor=1))
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("gpus", (0, 1))
def test_so_does_a_translator(cudnn_attention, model, gpus):
    open_translator(TranslationSettings(("zh",), "llm", gpus_per_actor=gpus), model, "plain").close()
    assert torch.backends.cuda.cudnn_sdp_enabled() == (not gpus)


@pytest.mark.parametrize("share", (1, 0.5))
def test_the_language_model_translates_as_on_the_cpu(model, share):
    def translations(gpus: float) -> list[Translation]:
        settings = TranslationSettings(("zh",), "llm", max_new_tokens=40, gpus_per_actor=gpus)
        translator = open_translator(settings, model, "plain")
        try:
            return translator.translate(["A bird crosses the river.", "A red boat lies on the water."], "zh")
        finally:
            translator.close()

    assert translations(share) == translations(0)
    assert torch.cuda.get_per_process_memory_fraction() == share

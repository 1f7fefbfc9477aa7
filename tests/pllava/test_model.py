"""What must hold for any weights: pooling order, splice, batches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from recap.pllava import left_pad, load_pllava, load_without_blocks, splice
from recap.pllava.model import Projector, VisionTower


@pytest.fixture(scope="module")
def model(written):
    return load_pllava(written)


def test_prompt_embeddings_need_no_language_model(model, written):
    front = load_without_blocks(written)
    torch.manual_seed(0)
    pixels = torch.randn(16, 3, model.config.image_size, model.config.image_size)
    ids = torch.tensor([1, 20, model.config.image_token_id, 30])
    embeddings = [each.prompt_embeddings(ids, each.visual_tokens(pixels)) for each in (model, front)]
    assert torch.equal(*embeddings)
    (table,) = front.language_model.parameters()
    assert table.shape == model.language_model.get_input_embeddings().weight.shape


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(*[st.integers(1, 6)] * 3),
    pooling=st.tuples(*[st.integers(1, 7)] * 3),
    clips=st.integers(1, 3),
)
def test_pooling_inside_equals_pooling_after_the_projector(size, pooling, clips):
    torch.manual_seed(0)
    projector = Projector(8, 12, "gelu").requires_grad_(False)
    features = torch.randn(clips, *size, 8)
    plain = projector.linear_2(projector.act(projector.linear_1(features)))
    expected = nn.AdaptiveAvgPool3d(pooling)(plain.permute(0, 4, 1, 2, 3)).flatten(2).transpose(1, 2)
    torch.testing.assert_close(projector(features, pooling), expected, atol=1e-5, rtol=1e-5)


def test_dead_blocks_are_not_built(model):
    assert len(model.vision_tower.encoder.layers) == 2
    assert model.config.vision.num_hidden_layers == 3


def test_tower_equals_the_hidden_state_of_the_whole_one(model):
    from transformers import CLIPVisionModel

    whole = CLIPVisionModel(model.config.vision).eval()
    part = VisionTower(model.config.vision, 2)
    names = {name.removeprefix("vision_model."): tensor for name, tensor in whole.state_dict().items()}
    part.load_state_dict({name: names[name] for name in part.state_dict()})
    pixels = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        expected = whole(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        features = part(pixels)
    torch.testing.assert_close(features, expected)
    assert features.is_contiguous()  # else the projector takes thirteen times as long on a CPU


def test_another_pooling_and_frame_count(model):
    pixels = torch.randn(4, 3, 56, 56)
    assert model.visual_tokens(pixels, num_frames=2, pooling_shape=(2, 4, 4)).shape == (2, 32, 64)


def test_frames_that_make_no_clips(model):
    for shape in ((15, 3, 56, 56), (16, 3, 28, 28), (0, 3, 56, 56)):
        with pytest.raises(ValueError, match=r"must be \(clips·16, 3, 56, 56\)"):
            model.visual_tokens(torch.zeros(shape))


@pytest.mark.parametrize("at", [0, 2, 4])
def test_spliced_positions(model, at):
    ids = torch.tensor([20, 21, 22, 23])
    ids = torch.cat([ids[:at], torch.tensor([model.config.image_token_id]), ids[at:]])
    visual = torch.randn(2, 64, 64)
    spliced = model.prompt_embeddings(ids, visual)
    text = model.language_model.get_input_embeddings()(torch.tensor([20, 21, 22, 23]))
    assert torch.equal(spliced[:, at : at + 64], visual)
    assert torch.equal(torch.cat([spliced[0, :at], spliced[0, at + 64 :]]), text)
    assert torch.equal(model.prompt_embeddings(ids.repeat(2, 1), visual), spliced)


def test_splice_of_a_left_padded_batch():
    embed = nn.Embedding.from_pretrained(torch.arange(10.0)[:, None])
    ids, mask = left_pad([[3, 9, 4], [5, 6, 7, 8, 9]], pad_token_id=0)
    batch = splice(ids, mask, torch.full((2, 2, 1), -1.0), embed=embed, image_token_id=9)
    assert batch.embeddings[..., 0].tolist() == [[0, 0, 3, -1, -1, 4], [5, 6, 7, 8, -1, -1]]
    assert batch.attention_mask.tolist() == [[0, 0, 1, 1, 1, 1], [1] * 6]
    assert batch.position_ids.tolist() == [[0, 0, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    ("ids", "mask", "clips", "message"),
    [
        ([[1, 2]], [[1, 1]], 1, "prompt 0 holds 0 image tokens"),
        ([[9, 9]], [[1, 1]], 1, "prompt 0 holds 2 image tokens"),
        ([[9, 0]], [[1, 0]], 1, "padded on the right"),
        ([[9, 1]], [[1, 1]], 2, "1 prompts were given with the visual tokens of 2 clips"),
        ([[9, 1]], [[1]], 1, "must both be"),
    ],
)
def test_splice_refuses(ids, mask, clips, message):
    with pytest.raises(ValueError, match=message):
        splice(
            torch.tensor(ids),
            torch.tensor(mask),
            torch.zeros(clips, 2, 4),
            embed=nn.Embedding(10, 4),
            image_token_id=9,
        )


def test_any_batch_gives_the_same_tokens(model):
    texts = (
        "USER:<image> tree ASSISTANT:",
        "USER:<image> a dog and a cat in the snow, slowly ASSISTANT:",
        "<image>",
    )
    prompts = [model.tokenizer(texts[clip % 3])["input_ids"] for clip in range(8)]
    torch.manual_seed(1)
    pixels = torch.randn(8 * 16, 3, 56, 56)
    batches = [captions(model, prompts, pixels, size) for size in (1, 3, 8)]
    assert batches[0] == batches[1] == batches[2]
    assert len(set(map(tuple, batches[0]))) > 3


def test_generation_stops_at_the_end_token_and_leaves_it_out(model):
    ids, mask = left_pad([model.tokenizer("<image> a")["input_ids"]], 0)
    pixels = torch.ones(16, 3, 56, 56)
    said = model.generate(ids, mask, pixels, 12)[0]
    config = model.config
    try:
        model.config = replace(config, eos_token_ids=(said[3],))
        assert model.generate(ids, mask, pixels, 12)[0] == said[: said.index(said[3])]
    finally:
        model.config = config
    with pytest.raises(ValueError, match="max_new_tokens is 0"):
        model.generate(ids, mask, pixels, 0)


def test_lower_precision_keeps_the_rotary_frequencies(written):
    model = load_pllava(written, dtype="bfloat16")
    assert model.dtype == torch.bfloat16
    assert model.language_model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert model.visual_tokens(torch.zeros(16, 3, 56, 56)).isfinite().all()


def captions(model, prompts, pixels, size):
    said = []
    for start in range(0, len(prompts), size):
        ids, mask = left_pad(prompts[start : start + size], 4)
        said += model.generate(ids, mask, pixels[start * 16 : (start + size) * 16], 16)
    return said

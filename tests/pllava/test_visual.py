"""Every strategy beside arithmetic written out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recap.pllava import check_context, get_strategy, load_pllava, read_config
from recap.pllava.config import parse_config
from recap.records import FrameRequest

from .test_config import PUBLISHED_7B

PUBLISHED = parse_config(PUBLISHED_7B)


@pytest.fixture(scope="module")
def model(written):
    return load_pllava(written)


@pytest.mark.parametrize(
    ("name", "pooling", "request_", "tokens"),
    [
        ("pllava", None, FrameRequest(16, 336), 2304),
        ("pllava", (4, 12, 12), FrameRequest(16, 336), 576),
        ("n_frame", None, FrameRequest(4, 336), 2304),
        ("video_chatgpt", None, FrameRequest(16, 336), 16 + 576),
        ("image_grid", None, FrameRequest(6, 336, tiles=(2, 3)), 576),
    ],
)
def test_published_sizes(name, pooling, request_, tokens):
    strategy = get_strategy(name, pooling)
    assert strategy.name == name
    assert strategy.frame_request(PUBLISHED, 16) == request_
    assert strategy.frame_request(PUBLISHED, 16, "pad").view == "pad"
    assert strategy.token_count(PUBLISHED, 16) == tokens
    assert strategy.token_count(PUBLISHED, 16, windows=2) == tokens * (1 if name == "pllava" else 2)


@pytest.mark.parametrize("windows", [1, 2])
@pytest.mark.parametrize("name", ["pllava", "n_frame", "video_chatgpt", "image_grid"])
def test_as_many_tokens_as_were_announced(model, name, windows):
    strategy = get_strategy(name)
    request = strategy.frame_request(model.config, 6)
    pictures = request.count // (request.tiles[0] * request.tiles[1])
    torch.manual_seed(0)
    clips = torch.randn(3, windows * pictures, 3, 56, 56)
    together = strategy.tokens(model, clips, windows)
    assert together.shape == (3, strategy.token_count(model.config, 6, windows), 64)
    one_by_one = torch.cat([strategy.tokens(model, clip, windows) for clip in clips])
    torch.testing.assert_close(together, one_by_one, atol=1e-5, rtol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3


def project(model, features):
    projector = model.projector
    return projector.linear_2(projector.act(projector.linear_1(features)))


def seen(model, pictures):
    """(pictures, 4, 4, features)."""
    return model.vision_tower(pictures).unflatten(1, (4, 4))


def test_pllava_is_the_models_own_pooling(model):
    pixels = torch.randn(16, 3, 56, 56)
    assert torch.equal(get_strategy("pllava").tokens(model, pixels), model.visual_tokens(pixels))
    other = get_strategy("pllava", (2, 4, 1)).tokens(model, pixels)
    assert torch.equal(other, model.visual_tokens(pixels, pooling_shape=(2, 4, 1)))


def test_pllava_puts_windows_side_by_side(model):
    left, right = torch.randn(2, 2, 3, 56, 56)
    tokens = get_strategy("pllava", (2, 2, 4)).tokens(model, torch.cat([left, right]), 2)
    tokens = tokens.unflatten(1, (2, 2, 4))
    for window, columns in ((left, slice(0, 2)), (right, slice(2, 4))):
        whole = project(model, seen(model, window))
        for frame in range(2):
            for row in range(2):
                for column in range(2):
                    patches = whole[frame, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                    torch.testing.assert_close(
                        tokens[0, frame, row, columns][column], patches.mean((0, 1)), atol=1e-5, rtol=1e-4
                    )


def test_n_frame_keeps_every_patch(model):
    pixels = torch.randn(8, 3, 56, 56)
    expected = project(model, seen(model, pixels)).flatten(0, 2)
    tokens = get_strategy("n_frame").tokens(model, pixels, 2)
    torch.testing.assert_close(tokens[0], expected, atol=1e-5, rtol=1e-4)


def test_video_chatgpt_means_come_before_the_projector(model):
    pixels = torch.randn(3, 3, 56, 56)
    features = seen(model, pixels)
    frames = [sum(features[t, y, x] for y in range(4) for x in range(4)) / 16 for t in range(3)]
    patches = [sum(features[t, y, x] for t in range(3)) / 3 for y in range(4) for x in range(4)]
    tokens = get_strategy("video_chatgpt").tokens(model, pixels)
    torch.testing.assert_close(tokens[0], project(model, torch.stack(frames + patches)), atol=1e-5, rtol=1e-4)


def test_image_grid_sees_one_picture(model):
    picture = torch.randn(1, 3, 56, 56)
    expected = project(model, seen(model, picture)).flatten(0, 2)
    torch.testing.assert_close(get_strategy("image_grid").tokens(model, picture)[0], expected, atol=1e-5, rtol=1e-4)


def test_what_is_refused(model):
    with pytest.raises(ValueError, match="called 'qformer'; choose pllava, n_frame"):
        get_strategy("qformer")
    with pytest.raises(ValueError, match="n_frame are not pooled"):
        get_strategy("n_frame", (4, 12, 12))
    with pytest.raises(ValueError, match=r"pooling is \(4, 0, 12\)"):
        get_strategy("pllava", (4, 0, 12))
    odd = get_strategy("pllava", (16, 12, 9))
    with pytest.raises(ValueError, match="2 windows cannot share the 9 columns"):
        odd.token_count(PUBLISHED, 16, windows=2)
    with pytest.raises(ValueError, match="2 windows cannot share the 9 columns"):
        odd.tokens(model, torch.zeros(32, 3, 56, 56), 2)
    with pytest.raises(ValueError, match="5 pictures in 2 windows"):
        get_strategy("pllava").tokens(model, torch.zeros(5, 3, 56, 56), 2)
    with pytest.raises(ValueError, match="6 pictures in 1 windows; each window must hold 1"):
        get_strategy("image_grid").tokens(model, torch.zeros(6, 3, 56, 56))


def test_context_counts_the_place_of_the_image_token():
    check_context(PUBLISHED, 1393, 2304, 400)
    with pytest.raises(ValueError, match=r"make 4097, but the model holds 4096: lower max_new_tokens"):
        check_context(PUBLISHED, 1394, 2304, 400)


def test_another_kind_of_model_has_no_such_configuration(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llava"}')
    with pytest.raises(ValueError, match="describes no PLLaVA: pooling_shape and num_frames missing"):
        read_config(tmp_path)


def test_the_decoding_side_needs_no_torch(written):
    code = (
        "import sys; from recap.pllava import check_context, get_strategy, read_config; "
        f"config = read_config({str(written)!r}); strategy = get_strategy('image_grid'); "
        "strategy.frame_request(config, 16, 'crop'); "
        "check_context(config, 50, strategy.token_count(config, 16), 100); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=60)

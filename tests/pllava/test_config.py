from __future__ import annotations

import math

import pytest
import torch

from recap.pllava.config import parse_config
from recap.pllava.model import Pllava, VisionTower

PUBLISHED_7B = {
    "architectures": ["PlavaForConditionalGeneration"],
    "model_type": "llava",
    "num_frames": 16,
    "pooling_shape": [16, 12, 12],
    "image_token_index": 32000,
    "torch_dtype": "bfloat16",
    "causal_conv_ks": [3, 3, 3],
    "register": False,
    "text_config": {
        "_name_or_path": "lmsys/vicuna-7b-v1.5",
        "model_type": "llama",
        "max_position_embeddings": 4096,
        "pad_token_id": 0,
        "rms_norm_eps": 1e-05,
        "vocab_size": 32064,
    },
}
PUBLISHED_34B = PUBLISHED_7B | {
    "image_token_index": 64002,
    "text_config": {
        "hidden_size": 7168,
        "intermediate_size": 20480,
        "num_hidden_layers": 60,
        "num_attention_heads": 56,
        "num_key_value_heads": 8,
        "rope_theta": 5000000.0,
        "max_position_embeddings": 4096,
        "vocab_size": 64064,
    },
}


def test_what_the_published_7b_leaves_out():
    config = parse_config(PUBLISHED_7B)
    text, vision = config.text, config.vision
    assert (text.hidden_size, text.num_hidden_layers, text.num_key_value_heads) == (4096, 32, 32)
    assert (text.intermediate_size, text.vocab_size, text.rms_norm_eps) == (11008, 32064, 1e-5)
    assert (vision.hidden_size, vision.num_hidden_layers, vision.image_size) == (1024, 24, 336)
    assert (config.vision_blocks, config.grid, config.pooling_shape) == (23, 24, (16, 12, 12))
    assert (config.image_token_id, config.eos_token_ids, config.pad_token_ids) == (32000, (2,), (0,))
    assert config.dtype == "bfloat16"


@pytest.mark.parametrize(
    "rope",
    [{"rope_theta": 5e6}, {"rope_parameters": {"rope_type": "default", "rope_theta": 5e6}}],
)
def test_rotary_base_reaches_the_frequencies(rope):
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    content = PUBLISHED_7B | {"text_config": PUBLISHED_7B["text_config"] | rope}
    frequencies = LlamaRotaryEmbedding(parse_config(content).text).inv_freq
    assert math.isclose(frequencies[1].item(), 5e6 ** (-2 / 128), rel_tol=1e-5)


def test_old_rope_scaling():
    text = PUBLISHED_7B["text_config"] | {
        "rope_theta": 2e4,
        "rope_scaling": {"type": "linear", "factor": 2.0},
    }
    rope = parse_config(PUBLISHED_7B | {"text_config": text}).text.rope_parameters
    assert (rope["rope_type"], rope["factor"], rope["rope_theta"]) == ("linear", 2.0, 2e4)


def test_transformers_changes_none_of_our_settings():
    yarn = {"rope_type": "yarn", "factor": 2.0}
    config = parse_config(PUBLISHED_7B | {"text_config": PUBLISHED_7B["text_config"] | {"rope_scaling": yarn}})
    before = dict(config.text_settings["rope_parameters"])
    assert config.text.rope_parameters["rope_type"] == "yarn"
    assert config.text_settings["rope_parameters"] == before


def test_positions_that_depend_on_the_neighbours_are_refused():
    """The longest text of a batch says how all of them are turned."""
    factors = [2.0] * 64
    longrope = {"type": "longrope", "short_factor": factors, "long_factor": factors, "factor": 2.0}
    text = PUBLISHED_7B["text_config"] | {"rope_scaling": longrope | {"original_max_position_embeddings": 2048}}
    with pytest.raises(ValueError, match=r"rope_type is 'longrope'.*'yarn'"):
        parse_config(PUBLISHED_7B | {"text_config": text})


def test_end_tokens_of_the_generation_config_count_where_the_config_is_silent():
    assert parse_config(PUBLISHED_7B, generation={"eos_token_id": [7, 8]}).eos_token_ids == (7, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pooling_shape": None}, "describes no PLLaVA: pooling_shape missing"),
        ({"pooling_shape": [12, 12]}, r"pooling_shape is \[12, 12\]"),
        ({"num_frames": 0}, "num_frames is 0"),
        ({"image_token_index": None}, "no image_token_index"),
        ({"image_token_index": 40000}, "outside the vocabulary of 32064"),
        ({"vision_feature_layer": -30}, "vision_feature_layer is -30"),
        ({"vision_feature_select_strategy": "full"}, "only 'default'"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        parse_config(PUBLISHED_7B | change)


@pytest.mark.parametrize(("content", "base", "lora"), [(PUBLISHED_7B, 7.063, 0.0671), (PUBLISHED_34B, 34.752, 0.1730)])
def test_published_models_are_as_large_as_the_hub_says(content, base, lora):
    config = parse_config(content)
    with torch.device("meta"):
        model = Pllava(config)
        whole_tower = VisionTower(config.vision, config.vision.num_hidden_layers)
    unused = count(whole_tower) - count(model.vision_tower) + 2 * config.vision.hidden_size
    assert round((count(model) + unused) / 1e9, 3) == base
    adapted = [p for name, p in model.named_parameters() if name.endswith(("q_proj.weight", "v_proj.weight"))]
    adapted = [p for p in adapted if p.shape[1] == config.text.hidden_size]
    assert round(128 * sum(sum(weight.shape) for weight in adapted) / 1e9, 4) == lora


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())

"""What is said of a checkpoint at a glance is what a model itself would say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from recap.pllava.config import parse_config
from recap.pllava.glance import is_ordinary, parameter_shapes
from recap.pllava.model import Pllava

from .test_config import PUBLISHED_7B, PUBLISHED_34B

HOME = Path(__file__).parents[2]


def changed(section: str, **settings):
    return PUBLISHED_7B | {section: PUBLISHED_7B.get(section, {}) | settings}


@pytest.mark.parametrize(
    "content",
    [
        PUBLISHED_7B,
        PUBLISHED_34B,
        PUBLISHED_7B | {"vision_feature_layer": 3, "projector_hidden_act": "silu"},
        changed("text_config", attention_bias=True, mlp_bias=True, num_key_value_heads=4, num_hidden_layers=2),
        changed("vision_config", image_size=70, patch_size=8, hidden_size=48, num_attention_heads=6),
    ],
)
def test_shapes_are_those_of_the_model(content):
    config = parse_config(content)
    with torch.device("meta"):
        model = Pllava(config)
    assert is_ordinary(config)
    assert parameter_shapes(config) == {name: tuple(weight.shape) for name, weight in model.named_parameters()}


@pytest.mark.parametrize(
    "content",
    [
        changed("text_config", hidden_size="big"),
        changed("text_config", num_attention_heads=5),
        changed("text_config", num_key_value_heads=5),
        changed("text_config", head_dim=64),
        changed("text_config", rms_norm_eps="small"),
        changed("text_config", hidden_act="none such"),
        changed("vision_config", hidden_act=["gelu"]),
        changed("text_config", attention_bias=1),
        changed("text_config", rope_theta=-1.0),
        changed("text_config", rope_theta=10**30),
        changed("text_config", rope_scaling={"type": "linear", "factor": 2.0}),
        changed("vision_config", hidden_size=1000),
        changed("vision_config", num_channels=0),
        PUBLISHED_7B | {"projector_hidden_act": "none such"},
    ],
    ids=range(14),
)
def test_of_settings_out_of_the_ordinary_the_model_is_asked(content):
    assert not is_ordinary(parse_config(content))


def test_a_whole_checkpoint_is_recognised_without_a_model(written):
    code = (
        f"import sys; from recap.pllava import check_checkpoint; check_checkpoint({str(written)!r}); "
        "assert not {'recap.pllava.model', 'transformers.modeling_utils', 'sympy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HOME, timeout=60)

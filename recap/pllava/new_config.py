"""The config.json of a PLLaVA that is made here, laid out as the published ones are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recap.pllava.prompts import IMAGE
from recap.pllava.random_tokenizer import SPECIALS


def new_config(
    architecture: str,
    num_frames: int,
    pooling_shape: tuple[int, int, int],
    vocab_size: int,
    text: Mapping[str, int],
    vision: Mapping[str, int],
) -> dict[str, Any]:
    """`text` and `vision` are the sizes of the language model and of the tower; the special tokens come first."""
    ids = {token: index for index, token in enumerate(SPECIALS)}
    grid = vision["image_size"] // vision["patch_size"]
    return {
        "architectures": [architecture],
        "model_type": "llava",
        "torch_dtype": "float32",
        "frame_shape": [grid, grid],
        "num_frames": num_frames,
        "pooling_method": "avg",
        "pooling_shape": list(pooling_shape),
        "use_pooling": True,
        "image_token_index": ids[IMAGE],
        "pad_token_id": ids["<pad>"],
        "projector_hidden_act": "gelu",
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "text_config": {
            "model_type": "llama",
            **text,
            "rms_norm_eps": 1e-5,
            "vocab_size": vocab_size,
            "bos_token_id": ids["<s>"],
            "eos_token_id": ids["</s>"],
            "pad_token_id": ids["<pad>"],
        },
        "vision_config": {"model_type": "clip_vision_model", **vision},
    }

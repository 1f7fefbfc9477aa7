"""What a PLLaVA's config.json says, whatever its age, checked and with the omitted sizes filled in.

Class names and `model_type` are never read: the published ones are misspelt or say `llava`. A PLLaVA is
known by `pooling_shape` and `num_frames`. transformers, and torch with it, load only where one of its own
configurations is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from recap.pllava.reading import reading

if TYPE_CHECKING:
    from transformers import CLIPVisionConfig, LlamaConfig

# CLIP ViT-L/14 at 336 pixels, which every published PLLaVA looks through.
VISION_DEFAULTS = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "projection_dim": 768,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_channels": 3,
    "image_size": 336,
    "patch_size": 14,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
# The class defaults of a Llama configuration: pllava-7b leaves out every one that it shares with them.
TEXT_DEFAULTS = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "mlp_bias": False,
    "bos_token_id": 1,
}
_Config = TypeVar("_Config")
_NUM_FRAMES, _POOLING_SHAPE = 16, (16, 12, 12)
_NOT_PLLAVA = (
    "{where} describes no PLLaVA: {missing} missing. Take the config.json that was published with the weights "
    "(published: num_frames 16, pooling_shape [16, 12, 12])."
)


@dataclass(frozen=True)
class PllavaConfig:
    """The sizes and ids of one PLLaVA.

    `vision_settings` and `text_settings` are what a CLIPVisionConfig and a LlamaConfig are made of. `pooling_shape`
    is (frames, rows, columns) of visual tokens per clip; `dtype` is the name that the file gives ("bfloat16"), or
    None. `pad_token_ids` are all the ids that the file calls padding.
    """

    vision_settings: Mapping[str, Any]
    text_settings: Mapping[str, Any]
    image_token_id: int
    pad_token_ids: tuple[int, ...]
    eos_token_ids: tuple[int, ...]
    num_frames: int
    pooling_shape: tuple[int, int, int]
    vision_feature_layer: int = -2
    projector_act: str = "gelu"
    dtype: str | None = None

    @cached_property
    def vision(self) -> CLIPVisionConfig:
        """The tower's configuration. Raises what transformers does for settings of which it makes none."""
        from transformers import CLIPVisionConfig

        return _with_sdpa(CLIPVisionConfig(**self.vision_settings))

    @cached_property
    def text(self) -> LlamaConfig:
        """The language model's configuration, or what transformers raises."""
        from transformers import LlamaConfig

        # The file's top-level tie_word_embeddings is a default of an old class and means nothing.
        apart = {"tie_word_embeddings": False, "pad_token_id": None, "eos_token_id": None}
        return _with_sdpa(LlamaConfig(**deepcopy(dict(self.text_settings)), **apart))  # it adds to its rope_parameters

    @property
    def vision_blocks(self) -> int:
        """How many transformer blocks of the tower run: the later ones feed nothing."""
        layer = self.vision_feature_layer
        return layer if layer >= 0 else self.vision_settings["num_hidden_layers"] + 1 + layer

    @property
    def image_size(self) -> int:
        """Side of the square frames in pixels."""
        return self.vision_settings["image_size"]

    @property
    def grid(self) -> int:
        """Patches along one side of a frame."""
        return self.image_size // self.vision_settings["patch_size"]

    @property
    def max_positions(self) -> int:
        """How many tokens, visual ones among them, the language model was made for."""
        return self.text_settings["max_position_embeddings"]


def read_config(folder: str | Path) -> PllavaConfig:
    """Read `folder`/config.json. ValueError says what is missing or wrong in it."""
    path = Path(folder) / "config.json"
    generation = Path(folder) / "generation_config.json"
    later = read_json(generation) if generation.is_file() else {}
    return parse_config(read_json(path), generation=later, where=str(path))


def parse_config(
    content: Mapping[str, Any], *, generation: Mapping[str, Any] | None = None, where: str = "config.json"
) -> PllavaConfig:
    """Build the configuration from the parsed files; `where` names the first in error messages."""
    num_frames, pooling_shape = _frames_and_pooling(content, where)
    image_token_id = _image_token_id(content, where)
    text = content.get("text_config") or {}
    with reading(where):
        config = PllavaConfig(
            vision_settings=_filled(VISION_DEFAULTS, content.get("vision_config") or {}),
            text_settings=_text_settings(text, content),
            image_token_id=image_token_id,
            pad_token_ids=_ids(text.get("pad_token_id"), content.get("pad_token_id")),
            eos_token_ids=_eos(text, content, generation or {}),
            num_frames=num_frames,
            pooling_shape=pooling_shape,
            vision_feature_layer=content.get("vision_feature_layer", -2),
            projector_act=content.get("projector_hidden_act", "gelu"),
            dtype=_dtype_name(content, text),
        )
    _check_sizes(config, where)
    _check_tower(config, content.get("vision_feature_select_strategy", "default"), where)
    _check_rope(config.text_settings["rope_parameters"], where)
    return config


def _frames_and_pooling(content: Mapping[str, Any], where: str) -> tuple[int, tuple[int, int, int]]:
    """`num_frames` and `pooling_shape`. A plain LLaVA has neither and gets the published 16 and (16, 12, 12).

    ValueError if the file is that of another kind of model.
    """
    missing = [key for key in ("pooling_shape", "num_frames") if content.get(key) is None]
    if len(missing) == 2 and content.get("vision_config") and content.get("text_config"):
        return _NUM_FRAMES, _POOLING_SHAPE
    if missing:
        raise ValueError(_NOT_PLLAVA.format(where=where, missing=" and ".join(missing)))
    return _whole_number(content["num_frames"], "num_frames", where), _pooling_of(content["pooling_shape"], where)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a checkpoint's JSON file. ValueError if there is none."""
    if not path.is_file():
        raise ValueError(f"{path.parent} has no {path.name}; a checkpoint folder needs the one it was published with")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); download it again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, not {type(content).__name__}; download it again")
    return content


def _with_sdpa(config: _Config) -> _Config:
    config._attn_implementation = "sdpa"
    return config


def _text_settings(given: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    settings = _filled(TEXT_DEFAULTS, given)
    if settings["num_key_value_heads"] is None:
        settings["num_key_value_heads"] = settings["num_attention_heads"]
    vocab_size = given.get("vocab_size") or whole.get("vocab_size") or 32000
    return settings | {"vocab_size": vocab_size, "rope_parameters": _rope(given)}


def _filled(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: default if given.get(key) is None else given[key] for key, default in defaults.items()}


def _rope(given: Mapping[str, Any]) -> dict[str, Any]:
    """Old files say `rope_theta` and `rope_scaling` (with `type`), new ones `rope_parameters`."""
    rope = {"rope_type": "default", "rope_theta": given.get("rope_theta") or 10000.0}
    rope |= given.get("rope_parameters") or given.get("rope_scaling") or {}
    if "type" in rope:
        rope["rope_type"] = rope.pop("type")
    return rope


def _image_token_id(content: Mapping[str, Any], where: str) -> int:
    value = content.get("image_token_index", content.get("image_token_id"))
    if value is None:
        raise ValueError(f"{where} has no image_token_index: say which token id stands for the video")
    with reading(where):
        return int(value)


def _eos(text: Mapping[str, Any], content: Mapping[str, Any], generation: Mapping[str, Any]) -> tuple[int, ...]:
    for source in (text, content, generation):
        if source.get("eos_token_id") is not None:
            return _ids(source["eos_token_id"])
    return (2,)


def _ids(*values: int | list[int] | None) -> tuple[int, ...]:
    """All the ids in `values`, each once, in order."""
    flat = [i for value in values if value is not None for i in (value if isinstance(value, list) else [value])]
    return tuple(dict.fromkeys(flat))


def _whole_number(value: Any, key: str, where: str) -> int:
    """`value` as it is. ValueError unless it is an int of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{where}: {key} is {value!r}; it must be a whole number of at least 1")
    return value


def _pooling_of(value: Any, where: str) -> tuple[int, int, int]:
    """A pooling shape (frames, rows, columns). ValueError unless it is three whole numbers of at least 1."""
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise ValueError(f"{where}: pooling_shape is {value!r}; it must be [frames, rows, columns]")
    frames, rows, columns = (_whole_number(bins, "each number in pooling_shape", where) for bins in value)
    return frames, rows, columns


def _dtype_name(content: Mapping[str, Any], text: Mapping[str, Any]) -> str | None:
    names = (source.get(key) for source in (content, text) for key in ("dtype", "torch_dtype"))
    return next((name for name in names if name), None)


def _check_sizes(config: PllavaConfig, where: str) -> None:
    """Those that are reckoned with before transformers looks at any."""
    for key in ("image_size", "patch_size", "num_hidden_layers"):
        _whole_number(config.vision_settings[key], f"vision_config.{key}", where)
    for key in ("max_position_embeddings", "vocab_size"):
        _whole_number(config.text_settings[key], f"text_config.{key}", where)


def _check_tower(config: PllavaConfig, strategy: str, where: str) -> None:
    if strategy != "default":
        raise ValueError(
            f"{where}: vision_feature_select_strategy is {strategy!r}; only 'default' (drop the class token) is PLLaVA"
        )
    layers, vocabulary = config.vision_settings["num_hidden_layers"], config.text_settings["vocab_size"]
    if not isinstance(config.vision_feature_layer, int) or not 0 <= config.vision_blocks <= layers:
        raise ValueError(
            f"{where}: vision_feature_layer is {config.vision_feature_layer!r}; "
            f"it must name one of the {layers + 1} hidden states of the tower, such as -2"
        )
    if not 0 <= config.image_token_id < vocabulary:
        raise ValueError(
            f"{where}: image_token_index {config.image_token_id} lies outside the vocabulary of {vocabulary} rows"
        )


def _check_rope(rope: Mapping[str, Any], where: str) -> None:
    if rope["rope_type"] == "longrope":
        raise ValueError(
            f"{where}: rope_type is 'longrope', which turns every text of a batch by the longest one's length, so that "
            "captions would depend on their neighbours; take a checkpoint with another rope_type, such as 'yarn'"
        )

"""A checkpoint that is not whole is refused, with words that say what to do."""

from __future__ import annotations

import errno
import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from recap.pllava import check_checkpoint, load_pllava, read_config
from recap.pllava.reading import reading
from recap.pllava.safetensors_files import INDEX

NORM = "language_model.base_model.model.model.layers.1.input_layernorm.weight"
LORA_A = "language_model.base_model.model.model.layers.1.self_attn.v_proj.lora_A.default.weight"


def test_missing_tensor(checkpoint, edit):
    edit(checkpoint, lambda tensors: tensors.pop(NORM))
    with pytest.raises(ValueError, match=r"1 missing: .*layers\.1\.input_layernorm\.weight(.|\n)*as base"):
        load_pllava(checkpoint)


def test_left_over_tensor(checkpoint, edit):
    edit(checkpoint, lambda tensors: tensors.update({"language_model.extra.weight": torch.zeros(2)}))
    with pytest.raises(ValueError, match=r"1 left over: language_model\.extra\.weight"):
        load_pllava(checkpoint)


def test_wrong_shape(checkpoint, edit):
    edit(checkpoint, lambda tensors: tensors.update({NORM: torch.ones(5)}))
    with pytest.raises(ValueError, match=r"wrong shape: .*input_layernorm\.weight \(5,\), expected \(64,\)"):
        load_pllava(checkpoint)


def test_half_a_lora(checkpoint, edit):
    edit(checkpoint, lambda tensors: tensors.pop(LORA_A))
    with pytest.raises(ValueError, match="without the other half of its LoRA"):
        load_pllava(checkpoint)


def test_lora_of_another_model(checkpoint, edit):
    edit(checkpoint, lambda tensors: tensors.update({LORA_A: torch.ones(8, 10)}))
    with pytest.raises(ValueError, match=r"lora_A\.default\.weight \(8, 10\) with \(32, 8\), expected \(rank, 64\)"):
        load_pllava(checkpoint)


def test_lora_and_projector_alone_ask_for_the_base(golden):
    with pytest.raises(ValueError, match="give the LLaVA it was trained on as base"):
        load_pllava(golden / "a_split" / "weights")


def test_the_same_tensor_twice(checkpoint, edit):
    twin = "language_model.model.layers.1.input_layernorm.weight"
    edit(checkpoint, lambda tensors: tensors.update({twin: tensors[NORM].clone()}))
    with pytest.raises(ValueError, match="holds the same tensor twice"):
        load_pllava(checkpoint)


def test_what_no_pllava_uses_may_be_there_or_not(checkpoint, edit, written):
    dead = "vision_tower.vision_model.encoder.layers.2.mlp.fc1.weight"
    edit(checkpoint, lambda tensors: tensors.update({dead: torch.ones(3), "image_newline": torch.ones(64)}))
    ours, theirs = load_pllava(checkpoint).state_dict(), load_pllava(written).state_dict()
    assert ours.keys() == theirs.keys()


def test_the_lora_of_a_base_does_not_touch_the_weights_over_it(checkpoint, edit, written):
    edit(checkpoint, lambda tensors: [tensors.pop(key) for key in list(tensors) if ".lora_" in key])
    over, alone = (load_pllava(checkpoint, base=base).state_dict() for base in (written, None))
    assert all(torch.equal(over[name], alone[name]) for name in alone)


@pytest.mark.parametrize(("key", "what"), [("image_token_index", "image"), ("pad_token_id", "padding")])
def test_ids_that_disagree_with_the_tokenizer(checkpoint, key, what):
    change_config(checkpoint, **{key: 9})
    if key == "pad_token_id":
        change_config(checkpoint, section="text_config", pad_token_id=9)
    with pytest.raises(ValueError, match=rf"the {what} token is \d in the tokenizer of .* but 9 in config\.json"):
        load_pllava(checkpoint)


def test_end_token_that_disagrees_with_the_tokenizer(checkpoint):
    change_config(checkpoint, section="text_config", eos_token_id=7)
    with pytest.raises(ValueError, match=r"end .* token is 2 in the tokenizer .* but 7 in config"):
        load_pllava(checkpoint)


@pytest.mark.parametrize(
    "changes",
    [
        {"section": "text_config", "hidden_size": "big"},
        {"section": "text_config", "num_attention_heads": 5},
        {"section": "text_config", "hidden_act": "none such"},
        {"section": "text_config", "rope_scaling": {"type": "none such", "factor": 2.0}},
        {"section": "text_config", "rms_norm_eps": "small"},
        {"projector_hidden_act": "none such"},
        {"vision_config": "large"},
        {"text_config": [1]},
        {"image_token_index": "x"},
    ],
    ids=str,
)
def test_a_config_of_which_no_model_can_be_made(checkpoint, changes):
    change_config(checkpoint, **changes)
    with pytest.raises(ValueError, match=r"checkpoint/config\.json cannot be used .*: is it damaged, or"):
        check_checkpoint(checkpoint)


def test_a_section_that_is_none(checkpoint):
    change_config(checkpoint, vision_config="large")
    with pytest.raises(ValueError, match=r"checkpoint/config\.json cannot be used"):
        read_config(checkpoint)


@pytest.mark.parametrize("size", [0, "14", 14.0, True])
@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("vision_config", "image_size"),
        ("vision_config", "patch_size"),
        ("vision_config", "num_hidden_layers"),
        ("text_config", "max_position_embeddings"),
    ],
)
def test_sizes_that_are_none(checkpoint, section, key, size):
    change_config(checkpoint, section=section, **{key: size})
    with pytest.raises(ValueError, match=rf"config\.json: {section}\.{key} is {size!r}; it must be a whole number"):
        read_config(checkpoint)


@pytest.mark.parametrize("ids", [{"a": 1}, [[2]]])
def test_ids_that_are_none(checkpoint, ids):
    change_config(checkpoint, section="text_config", eos_token_id=ids)
    with pytest.raises(ValueError, match=r"checkpoint/config\.json cannot be used"):
        read_config(checkpoint)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["", "{}x", '{"version": '])
def test_a_damaged_tokenizer(checkpoint, name, content):
    (checkpoint / name).write_text(content)
    with pytest.raises(ValueError, match=r"checkpoint/tokenizer\*\.json cannot be used .*: is it damaged, or"):
        check_checkpoint(checkpoint)


@pytest.mark.parametrize("error", [MemoryError(), PermissionError(errno.EACCES, "Permission denied")])
def test_what_the_machine_refuses_is_not_the_files_fault(error):
    with pytest.raises(type(error)), reading("tokenizer.json"):
        raise error


@pytest.mark.parametrize("header", ["[]", "3", '{"a": {"dtype": "F32"}}'])
def test_a_header_that_names_no_tensors(checkpoint, header):
    (checkpoint / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode())
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be used"):
        check_checkpoint(checkpoint)


def test_an_index_and_a_folder_in_the_place_of_weights(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "model.safetensors").mkdir()
    with pytest.raises(ValueError, match=r"holds no \*\.safetensors"):
        check_checkpoint(checkpoint)
    (checkpoint / INDEX).write_text('{"weight_map": {"a": 3}}')
    with pytest.raises(ValueError, match="lacks 1 of the 1 files in its index: 3"):
        check_checkpoint(checkpoint)


def test_truncated_file(checkpoint):
    path = checkpoint / "model.safetensors"
    whole = path.read_bytes()
    for size in (len(whole) - 10, 100, 3, 0):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"is damaged.*download it again"):
            load_pllava(checkpoint)


def test_pickles_are_not_opened(checkpoint):
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"only as pickles.*convert them to safetensors"):
        load_pllava(checkpoint)


def test_folders_that_cannot_be_loaded(tmp_path, checkpoint):
    with pytest.raises(ValueError, match=r"no checkpoint folder .*download it first$"):
        load_pllava(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="hf download owner/pllava-7b --local-dir owner/pllava-7b"):
        load_pllava("owner/pllava-7b")
    with pytest.raises(ValueError, match="is a file"):
        load_pllava(checkpoint / "config.json")
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"holds no \*\.safetensors"):
        load_pllava(checkpoint)
    (checkpoint / "config.json").unlink()
    with pytest.raises(ValueError, match=r"has no config\.json"):
        load_pllava(checkpoint)


def test_sharded_checkpoint_beside_stray_files(checkpoint, written):
    shard(checkpoint)
    (checkpoint / "model.safetensors-deprecated").write_bytes(b"stray")
    (checkpoint / "model.safetensors").write_bytes(b"stray")
    ours, theirs = load_pllava(checkpoint).state_dict(), load_pllava(written).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_missing_shard(checkpoint):
    shard(checkpoint)
    (checkpoint / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ValueError, match="lacks 1 of the 2 files in its index: model-00002"):
        load_pllava(checkpoint)


def test_shards_without_index(checkpoint):
    shard(checkpoint)
    (checkpoint / INDEX).unlink()
    with pytest.raises(ValueError, match="several safetensors files and no"):
        load_pllava(checkpoint)


def test_unknown_dtype(written):
    with pytest.raises(ValueError, match="dtype is 'bf17'; choose auto, float32"):
        load_pllava(written, dtype="bf17")


def shard(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def change_config(folder, section=None, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    (config[section] if section else config).update(changes)
    path.write_text(json.dumps(config))

"""A merged checkpoint gives the same numbers and its language model is a plain Llama."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, LlamaForCausalLM

from recap.pllava import checkpoint_bytes, load_pllava, merge_checkpoint, weight_digest
from recap.pllava.safetensors_files import INDEX


@pytest.fixture(scope="module")
def merged(written, tmp_path_factory):
    return merge_checkpoint(written, tmp_path_factory.mktemp("merge") / "out", lora_alpha=32, shard_bytes=1e5)


def same(ours, theirs):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("alpha", [0, 4, 32])
@pytest.mark.parametrize("case", ["a", "b", "c", "a_split"])
def test_merged_equals_the_reference(golden, tmp_path, case, alpha):
    parts = {"checkpoint": golden / case}
    if case == "a_split":
        parts = {"checkpoint": golden / case / "weights", "base": golden / case / "base"}
    out = merge_checkpoint(**parts, out=tmp_path / "out", lora_alpha=alpha)
    model = load_pllava(out, lora_alpha=99)
    same(model, load_pllava(**parts, lora_alpha=alpha))
    expected = load_file(golden / case.removesuffix("_split") / "golden.safetensors")
    inputs = [expected[name] for name in ("input_ids", "attention_mask", "pixel_values")]
    assert model.generate(*inputs, 12) == expected[f"greedy_alpha{alpha}"].tolist()


def test_shards_hold_every_weight_once(merged, written):
    same(load_pllava(merged), load_pllava(written, lora_alpha=32))
    files = sorted(merged.rglob("*.safetensors"))
    assert len(files) > 4
    assert all(checkpoint_bytes_of(path) <= 1e5 or len(load_file(path)) == 1 for path in files)
    parameters = sum(parameter.nbytes for parameter in load_pllava(merged).parameters())
    assert checkpoint_bytes(merged) == sum(map(checkpoint_bytes_of, files)) == parameters
    index = json.loads((merged / INDEX).read_text())
    assert index["metadata"]["total_size"] == parameters
    assert all(key in load_file(merged / file) for key, file in index["weight_map"].items())


def test_the_language_model_is_a_plain_llama(merged):
    ours = load_pllava(merged).language_model
    theirs, report = LlamaForCausalLM.from_pretrained(merged / "language_model", output_loading_info=True)
    assert not any(report.values())
    assert theirs.dtype == torch.float32
    same(theirs, ours)
    assert (theirs.config.eos_token_id, theirs.config.pad_token_id) == (2, 4)
    ids = torch.tensor([[1, 9, 20, 30]])
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours(ids).logits, atol=0, rtol=0)


def test_tokenizer_stands_in_both_places(merged, written):
    text = "a dog runs, slowly."
    expected = load_pllava(written).tokenizer(text)["input_ids"]
    assert load_pllava(merged).tokenizer(text)["input_ids"] == expected
    assert AutoTokenizer.from_pretrained(merged / "language_model")(text)["input_ids"] == expected


def test_config_says_where_it_came_from(merged, written, golden, tmp_path):
    config = json.loads((merged / "config.json").read_text())
    original = json.loads((written / "config.json").read_text())
    provenance = config.pop("provenance")
    assert config == original
    assert provenance == {
        "source_digest": weight_digest(written),
        "base_digest": None,
        "lora_alpha": 32,
        "lora_rank": 8,
        "recap_version": "0.1.0",
        "source_provenance": None,
    }
    again = merge_checkpoint(merged, tmp_path / "again", dtype="bfloat16")
    config = json.loads((again / "config.json").read_text())
    assert config["provenance"]["source_provenance"] == provenance
    assert (config["provenance"]["lora_rank"], config["torch_dtype"]) == (0, "bfloat16")
    assert load_pllava(again).dtype == torch.bfloat16
    same(load_pllava(again), load_pllava(written, lora_alpha=32, dtype="bfloat16"))


def test_what_is_refused_leaves_nothing_behind(checkpoint, tmp_path, monkeypatch):
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not an empty folder"):
        merge_checkpoint(checkpoint, occupied)
    with pytest.raises(ValueError, match="is not an empty folder"):
        merge_checkpoint(checkpoint, occupied / "notes.txt")
    with pytest.raises(ValueError, match="lora_alpha is inf"):
        merge_checkpoint(checkpoint, tmp_path / "out", lora_alpha=float("inf"))
    with pytest.raises(ValueError, match="lora_alpha is -1"):
        merge_checkpoint(checkpoint, tmp_path / "out", lora_alpha=-1)
    with pytest.raises(ValueError, match="shard_bytes is 0"):
        merge_checkpoint(checkpoint, tmp_path / "out", shard_bytes=0)
    with pytest.raises(ValueError, match=r"dtype is torch\.float64"):
        merge_checkpoint(checkpoint, tmp_path / "out", dtype=torch.float64)
    monkeypatch.setattr("recap.pllava.export._write_language_config", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        merge_checkpoint(checkpoint, tmp_path / "out")
    (tmp_path / "out.partial").mkdir()
    with pytest.raises(ValueError, match="another merge is running, or was killed"):
        merge_checkpoint(checkpoint, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "occupied", "out.partial"]


def test_a_full_disk_is_seen_first(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(ValueError, match=r"its disk has 0\.0 GB left"):
        merge_checkpoint(checkpoint, tmp_path / "out")


def test_an_empty_folder_is_filled(checkpoint, tmp_path):
    (tmp_path / "out").mkdir()
    assert load_pllava(merge_checkpoint(checkpoint, tmp_path / "out")).config.num_frames == 16


def test_a_link_is_followed(checkpoint, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    merge_checkpoint(checkpoint, tmp_path / "link")
    assert load_pllava(tmp_path / "elsewhere").config.num_frames == 16


def test_folders_that_cannot_be_replaced_are_refused(checkpoint, tmp_path, monkeypatch):
    (here := tmp_path / "here").mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(ValueError, match="is in use and cannot be replaced"):
        merge_checkpoint(checkpoint, ".")
    with pytest.raises(ValueError, match=r"config\.json cannot be made .*merge into another folder"):
        merge_checkpoint(checkpoint, checkpoint / "config.json" / "out")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pathlib.Path.is_mount", lambda path: path == here)
    with pytest.raises(ValueError, match="is in use and cannot be replaced"):
        merge_checkpoint(checkpoint, here)


def test_a_second_merge_leaves_the_first_alone(checkpoint, tmp_path, monkeypatch):
    def meanwhile(_):
        (tmp_path / "out.partial").mkdir()
        (tmp_path / "out.partial" / "first").touch()
        return type("Usage", (), {"free": 1e12})

    monkeypatch.setattr("shutil.disk_usage", meanwhile)
    with pytest.raises(ValueError, match="another merge is running"):
        merge_checkpoint(checkpoint, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out.partial").iterdir()] == ["first"]


def checkpoint_bytes_of(path):
    return sum(tensor.nbytes for tensor in load_file(path).values())

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from recap.engines import ModelSettings, merged
from recap.engines.merged import merged_language_model
from recap.pllava import load_pllava, merge_checkpoint
from recap.pllava.export import partial_folder
from recap.pllava.random_checkpoint import write_random_checkpoint


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> ModelSettings:
    return ModelSettings(str(write_random_checkpoint(tmp_path_factory.mktemp("models") / "tiny", seed=3)))


@pytest.fixture
def merges(monkeypatch) -> list:
    """The folders that were merged into."""
    made = []

    def counted(checkpoint, out, **options):
        made.append(out)
        return merge_checkpoint(checkpoint, out, **options)

    monkeypatch.setattr(merged, "merge_checkpoint", counted)
    return made


def test_it_is_the_model_that_the_front_belongs_to(model, tmp_path):
    llama = LlamaForCausalLM.from_pretrained(merged_language_model(model, torch.float32, tmp_path))
    expected = load_pllava(model.checkpoint, lora_alpha=model.lora_alpha, dtype="float32").language_model.state_dict()
    assert expected.keys() == llama.state_dict().keys()
    assert all(torch.equal(weight, expected[name]) for name, weight in llama.state_dict().items())


def test_actors_that_start_together_merge_once(model, tmp_path, merges):
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: merged_language_model(model, torch.float32, tmp_path), range(4)))
    assert len(merges) == len(found) == 1


def test_what_a_killed_merge_left_is_in_nobodys_way(model, tmp_path, merges):
    folder = merged_language_model(model, torch.float32, tmp_path).parent
    left = partial_folder(folder)
    folder.rename(left)
    (left / "config.json").unlink()
    assert (merged_language_model(model, torch.float32, tmp_path).parent / "config.json").is_file()
    assert len(merges) == 2 and not left.exists()


def test_alpha_and_type_have_folders_of_their_own(model, tmp_path):
    asked = [(model, torch.float32), (replace(model, lora_alpha=8), torch.float32), (model, torch.bfloat16)]
    assert len({merged_language_model(each, dtype, tmp_path) for each, dtype in asked}) == 3
    whole = ModelSettings(model.checkpoint, lora_alpha=4.0)
    assert merged_language_model(whole, torch.float32, tmp_path) == merged_language_model(
        model, torch.float32, tmp_path
    )


def test_a_merged_checkpoint_brings_its_own(model, tmp_path, merges):
    out = merge_checkpoint(model.checkpoint, tmp_path / "merged")
    assert merged_language_model(ModelSettings(str(out)), torch.float32, tmp_path / "store") == out / "language_model"
    assert merges == [] and not (tmp_path / "store").exists()


def test_all_of_it_is_on_the_disk_before_it_has_its_name(model, tmp_path, monkeypatch):
    fsync, rename, happened = os.fsync, Path.replace, []

    def synced(number):
        happened.append(os.readlink(f"/proc/self/fd/{number}"))
        fsync(number)

    def renamed(path, target):
        happened.append("renamed")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    home = tmp_path / "store"
    folder = merged_language_model(model, torch.float32, home).parent
    before = happened[: happened.index("renamed")]
    written = {str(partial_folder(folder) / path.relative_to(folder)) for path in folder.rglob("*")}
    assert written | {str(partial_folder(folder))} <= {*before}
    assert happened[-1] == str(home)

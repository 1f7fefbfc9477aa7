from __future__ import annotations

import shutil

from safetensors.torch import load_file

from recap.pllava import checkpoint_bytes, weight_digest

LORA_B = "language_model.base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight"


def test_digest_follows_the_content_not_the_place(checkpoint, written):
    assert weight_digest(checkpoint) == weight_digest(written)
    assert weight_digest(checkpoint, full=True) == weight_digest(written, full=True)
    assert len(weight_digest(written)) == 40


def test_digest_changes_with_one_weight(checkpoint, edit):
    before = weight_digest(checkpoint), weight_digest(checkpoint, full=True)
    edit(checkpoint, lambda tensors: tensors[LORA_B].mul_(2))
    after = weight_digest(checkpoint), weight_digest(checkpoint, full=True)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_digest_changes_with_the_config(checkpoint):
    before = weight_digest(checkpoint)
    config = checkpoint / "config.json"
    config.write_text(config.read_text().replace('"plain"', "") + " ")
    assert weight_digest(checkpoint) != before


def test_a_hub_snapshot_is_its_commit(tmp_path, written):
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--x--y" / "snapshots" / commit
    shutil.copytree(written, snapshot)
    assert weight_digest(snapshot) == commit
    assert weight_digest(snapshot, full=True) == weight_digest(written, full=True)


def test_checkpoint_bytes(written):
    stored = load_file(written / "model.safetensors").values()
    assert checkpoint_bytes(written) == sum(tensor.nbytes for tensor in stored)

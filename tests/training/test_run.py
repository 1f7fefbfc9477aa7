from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file

from recap.cli import main
from recap.pllava import load_pllava
from recap.training.run import train
from tests.training.conftest import LORA, SCRATCH


@pytest.fixture(scope="module")
def trained(tmp_path_factory, recipe, base, clips):
    out = tmp_path_factory.mktemp("lora")
    return out, train(recipe(LORA, BASE=base, DATA=clips, OUT=out))


def logits(model):
    torch.manual_seed(3)
    frames = model.config.num_frames
    ids = torch.tensor([[1, 3, 270, 280, 290]])
    return model.logits(ids, torch.ones_like(ids), torch.randn(frames, 3, 24, 24))


def test_a_model_from_scratch_is_in_the_published_layout(base):
    config = json.loads((base / "config.json").read_text())
    keys = load_file(base / "model.safetensors").keys()
    assert (config["num_frames"], config["pooling_shape"]) == (1, [1, 1, 1])
    assert "vision_tower.vision_model.post_layernorm.weight" in keys
    assert "vision_tower.vision_model.encoder.layers.1.mlp.fc1.weight" in keys
    assert load_pllava(base).tokenizer is not None


def test_lora_and_projector_learn_and_all_else_is_as_it_was(trained, base):
    out, result = trained
    before, after = load_file(base / "model.safetensors"), load_file(out / "full" / "model.safetensors")
    plain = {key.replace(".base_layer.", "."): tensor for key, tensor in after.items() if "lora_" not in key}
    assert plain.keys() == before.keys()
    changed = {key for key in before if not torch.equal(before[key], plain[key])}
    assert changed == {key for key in before if key.startswith("multi_modal_projector.")}
    lora = {key for key in after if "lora_" in key}
    assert len(lora) == 2 * 2 * 2 and all(".self_attn.q_proj." in key or ".self_attn.v_proj." in key for key in lora)
    assert result.trainable < result.parameters and result.steps == 4


def test_full_and_adapter_load_as_the_same_model(trained, base):
    out, _ = trained
    full = logits(load_pllava(out / "full", lora_alpha=8))
    adapter = logits(load_pllava(out / "adapter", base=base, lora_alpha=8))
    assert torch.equal(full, adapter)
    assert not torch.allclose(full, logits(load_pllava(out / "full", lora_alpha=0)), atol=1e-4)
    assert load_pllava(out / "full").config.pooling_shape == (4, 1, 1)
    assert len(load_file(out / "adapter" / "model.safetensors")) == 8 + 4


def test_a_lora_can_be_stored_for_another_alpha(trained, recipe, base, clips, tmp_path):
    out, _ = trained
    train(recipe(LORA, ("output.lora_alpha=2",), BASE=base, DATA=clips, OUT=tmp_path))
    torch.testing.assert_close(
        logits(load_pllava(tmp_path / "full", lora_alpha=2)), logits(load_pllava(out / "full", lora_alpha=8))
    )


def test_the_curve_falls_and_is_drawn(trained, losses):
    out, _ = trained
    values = [float(loss) for loss in losses(out)]
    assert len(values) == 4 and values[-1] < values[0]
    assert (out / "loss.png").read_bytes()[1:4] == b"PNG"


def test_a_killed_training_goes_on_to_the_same_losses(trained, recipe, base, clips, tmp_path, losses):
    whole, _ = trained
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    shutil.rmtree(out / "states" / "checkpoint-4")  # as if it had died after the state of step 2
    train(recipe(LORA, BASE=base, DATA=clips, OUT=out))
    assert losses(out) == losses(whole)
    first, second = (load_file(folder / "full" / "model.safetensors") for folder in (whole, out))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("log_every", [1, 2])
def test_a_kill_in_an_epochs_middle_changes_no_dropout_and_no_mean(recipe, base, clips, tmp_path, losses, log_every):
    overrides = ("train.lora.dropout=0.3", "train.max_steps=6", "train.save_every_steps=3", "data.workers=1")
    overrides = (*overrides, f"train.log_every_steps={log_every}")
    whole, out = tmp_path / "whole", tmp_path / "out"
    train(recipe(LORA, overrides, BASE=base, DATA=clips, OUT=whole))
    shutil.copytree(whole, out)
    shutil.rmtree(out / "states" / "checkpoint-6")
    train(recipe(LORA, overrides, BASE=base, DATA=clips, OUT=out))
    assert losses(out) == losses(whole)


def test_a_finished_training_that_is_run_again_learns_no_more(recipe, base, clips, tmp_path, losses):
    asked = recipe(LORA, ("train.max_steps=3",), BASE=base, DATA=clips, OUT=tmp_path)  # two steps are an epoch
    first, before = train(asked), load_file(tmp_path / "full" / "model.safetensors")
    again, after = train(asked), load_file(tmp_path / "full" / "model.safetensors")
    assert (again.steps, len(losses(tmp_path))) == (3, 3)
    assert again.loss == first.loss == pytest.approx(sum(map(float, losses(tmp_path))) / 3)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_state_that_was_being_saved_is_passed_over(trained, recipe, base, clips, tmp_path, losses):
    whole, _ = trained
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    (out / "states" / "checkpoint-4" / "trainer_state.json").unlink()
    (out / "states" / "checkpoint-4" / "optimizer.pt").write_bytes(b"half")
    train(recipe(LORA, BASE=base, DATA=clips, OUT=out))
    assert losses(out) == losses(whole)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lora.rank=8", "train.lora.rank 4, not 8"),
        ("train.learning_rate=0.5", "train.learning_rate 0.01, not 0.5"),
        ("model.pooling=[2,1,1]", r"model.pooling \[4, 1, 1\], not \[2, 1, 1\]"),
        ("model.checkpoint=pocket", "weights [0-9a-f]{40}, not [0-9a-f]{40}; go on"),
    ],
)
def test_a_changed_recipe_does_not_go_on_from_the_states_of_another(trained, recipe, base, clips, override, message):
    with pytest.raises(ValueError, match=f"holds a training with .*{message}"):
        train(recipe(LORA, (override,), BASE=base, DATA=clips, OUT=trained[0]))


def test_what_changes_no_state_may_change(trained, recipe, base, clips, tmp_path, losses):
    out, moved = shutil.copytree(trained[0], tmp_path / "out"), shutil.copytree(base, tmp_path / "moved")
    overrides = ("train.max_steps=5", "train.batch_size=4", "data.workers=1", "output.save=[full]")
    assert train(recipe(LORA, overrides, BASE=moved, DATA=clips, OUT=out)).steps == 5
    assert losses(out)[:4] == losses(trained[0])


def test_an_untrained_model_of_a_killed_start_is_drawn_anew(recipe, pictures, tmp_path):
    weights = tmp_path / "start" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"half")
    train(recipe(SCRATCH, ("train.max_steps=1",), DATA=pictures, OUT=tmp_path))
    assert load_file(weights)


def test_a_training_shorter_than_its_log_has_a_curve(recipe, base, clips, tmp_path):
    train(recipe(LORA, ("train.log_every_steps=10",), BASE=base, DATA=clips, OUT=tmp_path))
    assert (tmp_path / "loss.csv").read_text().splitlines()[1].startswith("2,")
    assert (tmp_path / "loss.png").is_file()


@pytest.mark.parametrize(
    ("rate", "step", "what"), [("1.0e+30", 2, "the loss"), ("1.0e+39", 1, r"pllava\.language_model\.\S+")]
)
def test_a_training_that_diverges_ends_and_saves_nothing_of_it(recipe, base, clips, tmp_path, rate, step, what):
    overrides = (f"train.learning_rate={rate}", "train.warmup_ratio=0", "train.save_every_steps=1")
    with pytest.raises(ValueError, match=rf"by step {step} {what} is no longer finite.*lower train\.learning_rate"):
        train(recipe(LORA, overrides, BASE=base, DATA=clips, OUT=tmp_path))
    assert not (tmp_path / "full").exists()
    kept = list((tmp_path / "states").glob("*/model.safetensors"))
    assert len(kept) == step - 1
    assert all(weight.isfinite().all() for file in kept for weight in load_file(file).values())


def test_accumulated_gradients_are_those_of_one_batch(recipe, base, clips, tmp_path, losses):
    found = []
    for size in (1, 4):
        overrides = (f"train.batch_size={size}", "train.warmup_ratio=0", "train.max_steps=3")
        train(recipe(LORA, overrides, BASE=base, DATA=clips, OUT=tmp_path / str(size)))
        found.append([float(loss) for loss in losses(tmp_path / str(size))])
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0][0] - found[0][2] > 0.001


def test_clips_that_cannot_be_decoded_are_named_and_skipped(recipe, base, spoilt, tmp_path):
    data = spoilt(cut=1, gone=1, empty=1)
    result = train(recipe(LORA, ("data.max_bad=0.5",), BASE=base, DATA=data, OUT=tmp_path / "out"))
    rows = [json.loads(line) for line in (tmp_path / "out" / "bad_samples.jsonl").read_text().splitlines()]
    assert result.steps == 4 and result.bad == 3
    reasons = {row["reason"].split(":")[0] for row in rows}
    assert reasons == {"an answer is empty", "the file is missing", "probe/not_a_video"}


def test_as_many_as_the_limit_allows_do_not_stop_it(recipe, base, spoilt, tmp_path):
    result = train(recipe(LORA, ("data.max_bad=0.125",), BASE=base, DATA=spoilt(gone=1), OUT=tmp_path / "out"))
    assert (result.steps, result.bad, result.samples) == (4, 1, 7)


def test_mended_clips_are_no_longer_counted(recipe, base, clips, spoilt, tmp_path):
    data = spoilt(cut=4)
    asked = recipe(LORA, BASE=base, DATA=data, OUT=tmp_path / "out")
    with pytest.raises(ValueError, match="mend them"):
        train(asked)
    shutil.copytree(clips / "clips", data / "clips", dirs_exist_ok=True)
    assert train(asked).bad == 0


def test_an_answer_beyond_the_longest_text_is_named_and_skipped(recipe, base, clips, tmp_path):
    rows = json.loads((clips / "train.json").read_text())
    for row in rows:
        row["video"] = str(clips / row["video"])
    rows[0]["QA"][0]["i"] = "Look. " * 600
    (tmp_path / "train.json").write_text(json.dumps(rows))
    result = train(recipe(LORA, ("data.max_bad=0.5",), BASE=base, DATA=tmp_path, OUT=tmp_path / "out"))
    assert result.steps == 4 and result.bad == 1
    assert "no answer begins within data.max_text_tokens 512" in (tmp_path / "out" / "bad_samples.jsonl").read_text()


def test_a_damaged_picture_is_named_and_skipped(recipe, base, pictures, tmp_path):
    data = Path(shutil.copytree(pictures, tmp_path / "pictures"))
    rows = json.loads((data / "train.json").read_text())
    whole = io.BytesIO()
    Image.open(data / rows[0]["image"]).save(whole, "PNG")
    content = bytearray(whole.getvalue())
    content[content.index(b"IDAT") - 2] //= 2  # a chunk said to be shorter: Pillow raises SyntaxError
    (data / rows[0]["image"]).write_bytes(content)
    result = train(recipe(LORA, ("data.max_bad=0.5", "train.max_steps=8"), BASE=base, DATA=data, OUT=tmp_path / "out"))
    assert result.bad == 1


def test_too_many_bad_clips_stop_the_training(recipe, base, spoilt, tmp_path):
    data = spoilt(cut=4)
    with pytest.raises(ValueError, match=r"samples are bad, more than data\.max_bad"):
        train(recipe(LORA, BASE=base, DATA=data, OUT=tmp_path / "out"))


@pytest.mark.parametrize("weight", [0.1, 10])
def test_bad_samples_weigh_as_they_are_read(recipe, base, spoilt, tmp_path, weight):
    data = spoilt(gone=1)
    weigh = f"data.sets=[{{path: {data}/train.json, weight: {weight}}}]"
    with pytest.raises(ValueError, match="1 of 8 samples are bad"):
        train(recipe(LORA, ("data.max_bad=0.12", weigh), BASE=base, DATA=data, OUT=tmp_path / "out"))


def test_too_many_missing_files_stop_it_before_it_starts(recipe, base, spoilt, tmp_path):
    with pytest.raises(ValueError, match=r"3 of 8 samples are bad, more than .*the file is missing"):
        train(recipe(LORA, BASE=base, DATA=spoilt(gone=3), OUT=tmp_path / "out"))


def test_mistakes_are_said_before_anything_is_loaded(tmp_path, recipe, pictures):
    command = ["train", str(tmp_path / "nowhere.yaml")]
    assert "there is no" in CliRunner().invoke(main, command).output
    with pytest.raises(ValueError, match=r"global_batch 6 is no multiple of train\.batch_size 4"):
        train(recipe(SCRATCH, ("train.global_batch=6",), DATA=pictures, OUT=tmp_path))
    with pytest.raises(ValueError, match="name one of them, and only one, to start from"):
        recipe(SCRATCH, ("model.checkpoint=x",), DATA=pictures, OUT=tmp_path)
    with pytest.raises(ValueError, match=r"there is no file zero9, and recap itself has zero2, zero3, zero3_offload"):
        train(recipe(SCRATCH, ("train.deepspeed=zero9",), DATA=pictures, OUT=tmp_path))

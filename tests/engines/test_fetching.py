from __future__ import annotations

import pytest

from recap.engines import EngineSettings, ModelSettings, fetch, fetched_bytes, fetched_digest, model_name, problems
from recap.engines.settings import PromptSettings
from recap.pllava.random_checkpoint import write_random_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_random_checkpoint(tmp_path_factory.mktemp("models") / "tiny", seed=1)


def test_a_fetched_model_is_a_local_folder(checkpoint, monkeypatch):
    monkeypatch.chdir(checkpoint.parent)
    model = fetch(ModelSettings("tiny", base="tiny"), EngineSettings())
    assert model.checkpoint == model.base == str(checkpoint.resolve())
    assert fetch(ModelSettings(), EngineSettings("rehearsal")) == ModelSettings()


@pytest.mark.parametrize(
    ("dtype", "gpus", "computed"), [("auto", 0, "float32"), ("auto", 1, "auto"), ("bfloat16", 0, "bfloat16")]
)
def test_without_a_gpu_auto_is_float32(checkpoint, dtype, gpus, computed):
    model = ModelSettings(str(checkpoint), dtype=dtype)
    assert fetch(model, EngineSettings(gpus_per_actor=gpus)).dtype == computed


def test_the_digest_knows_checkpoint_and_base(checkpoint):
    alone = fetched_digest(ModelSettings(str(checkpoint)), ENGINE)
    assert len(alone) == 40
    assert fetched_digest(ModelSettings(str(checkpoint), base=str(checkpoint)), ENGINE) == f"{alone}+{alone}"
    assert fetched_digest(ModelSettings(str(checkpoint)), EngineSettings("rehearsal")) == ""


def test_a_model_is_named_without_its_place(checkpoint):
    assert model_name(ModelSettings(str(checkpoint))) == "tiny"
    assert model_name(ModelSettings("ermu2001/pllava-34b")) == "ermu2001/pllava-34b"
    assert model_name(ModelSettings()) == "rehearsal"


PROMPT, ENGINE = PromptSettings(), EngineSettings()


def found(model, prompt=PROMPT, engine=ENGINE, on_cluster=False):
    return problems(model, prompt, engine, on_cluster=on_cluster)


def test_a_sound_model_has_no_problems(checkpoint, tmp_path):
    assert found(ModelSettings(str(checkpoint))) == []
    assert found(ModelSettings("ermu2001/pllava-34b")) == []


def test_problems_name_what_to_do(checkpoint, tmp_path):
    (gone,) = found(ModelSettings(str(tmp_path / "x" / "y")))
    assert "no folder" in gone
    (empty,) = found(ModelSettings(str(tmp_path)))
    assert "model.checkpoint" in empty
    (template,) = found(ModelSettings(str(checkpoint)), PromptSettings(template="plan"))
    assert "did you mean 'plain'" in template


def test_without_vllm_its_engine_is_refused_where_the_work_runs(checkpoint, monkeypatch):
    monkeypatch.setattr("recap.engines.preflight.find_spec", lambda name: None)
    model, engine = ModelSettings(str(checkpoint)), EngineSettings("vllm")
    (missing,) = found(model, engine=engine)
    assert "pip install --editable '.[vllm]'" in missing
    assert found(model, engine=engine, on_cluster=True) == []
    (split,) = found(ModelSettings(str(checkpoint), device_map={"": "cpu"}), engine=engine, on_cluster=True)
    assert "model.device_map" in split


def test_eight_bits_are_refused_beside_float32():
    engine = EngineSettings("vllm", gpus_per_actor=1, quantization="fp8")
    (wide,) = found(ModelSettings("ermu2001/pllava-34b", dtype="float32"), engine=engine, on_cluster=True)
    assert "model.dtype: bfloat16" in wide
    assert found(ModelSettings("ermu2001/pllava-34b"), engine=engine, on_cluster=True) == []


def test_the_gpu_is_looked_at_only_where_the_work_runs(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    model, engine = ModelSettings("ermu2001/pllava-34b"), EngineSettings(gpus_per_actor=1)
    (gpu,) = found(model, engine=engine)
    assert "about 75 GB" in gpu and "ray.address" in gpu
    assert found(model, engine=engine, on_cluster=True) == []


def test_gpus_that_would_stand_idle_or_are_not_granted_are_refused():
    model, pair = ModelSettings("ermu2001/pllava-34b"), EngineSettings(gpus_per_actor=2)
    (idle,) = found(model, engine=pair, on_cluster=True)
    assert idle.startswith("engine.gpus_per_actor 2:") and "model.device_map" in idle
    spread = ModelSettings("ermu2001/pllava-34b", device_map={"": 0, "language_model.lm_head": "cuda:1"})
    assert found(spread, engine=pair, on_cluster=True) == []
    (beyond,) = found(spread, engine=EngineSettings(gpus_per_actor=1), on_cluster=True)
    assert beyond.startswith("model.device_map names GPU 1:")


def test_weights_count_as_they_are_computed_with(checkpoint):
    stored, wide, narrow = (
        fetched_bytes(ModelSettings(str(checkpoint), dtype=dtype), ENGINE) for dtype in ("auto", "float32", "bfloat16")
    )
    assert wide == 2 * narrow and stored in (wide, narrow)


def test_a_gpu_that_is_too_small_is_refused_and_one_that_fits_is_not(monkeypatch):
    import torch

    for gigabytes, expected in ((40, 1), (100, 0), (141, 0)):
        card = type("Card", (), {"total_memory": gigabytes * 1e9})
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i, card=card: card)
        engine = EngineSettings(gpus_per_actor=1)
        assert len(found(ModelSettings("ermu2001/pllava-34b"), engine=engine)) == expected
        wide = found(ModelSettings("ermu2001/pllava-34b", dtype="float32"), engine=engine)
        assert len(wide) == (gigabytes < 145)


@pytest.mark.parametrize(("gpus", "quantization", "expected"), [(1, None, 1), (2, None, 0), (1, "fp8", 0)])
def test_vllm_spreads_and_halves_a_model(monkeypatch, gpus, quantization, expected):
    import torch

    card = type("Card", (), {"total_memory": 48e9})
    monkeypatch.setattr("recap.engines.preflight.find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: card)
    engine = EngineSettings("vllm", gpus_per_actor=gpus, quantization=quantization)
    assert len(found(ModelSettings("ermu2001/pllava-34b"), engine=engine)) == expected


@pytest.mark.parametrize(("kind", "expected"), [("transformers", 0), ("vllm", 1)])
def test_vllm_does_not_get_all_of_a_card(monkeypatch, kind, expected):
    import torch

    card = type("Card", (), {"total_memory": 80e9})
    monkeypatch.setattr("recap.engines.preflight.find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: card)
    problems = found(ModelSettings("ermu2001/pllava-34b"), engine=EngineSettings(kind, gpus_per_actor=1))
    assert len(problems) == expected and all("gives it 68 GB (vLLM takes 85%)" in problem for problem in problems)

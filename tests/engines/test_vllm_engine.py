from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pyarrow.parquet as pq
import pytest
import torch

from recap import jobs
from recap.engines import EngineSettings, ModelSettings, Request, complete
from recap.engines.transformers_engine import TransformersEngine
from recap.engines.vllm_engine import VllmEngine, open_llm, vllm_opener
from recap.pipeline import load_pipeline
from recap.pllava.hub import resolve_checkpoint
from recap.timing import Timing

HIDDEN, VOCABULARY, POSITIONS = 32, 61, 256
PATIENCE_S = 60
NO_NUMBERS = torch.full((9, HIDDEN), torch.nan)
SPREAD = {"tensor_parallel_size": 2, "distributed_executor_backend": "mp"}


class FakeLlm:
    """Knows the sizes of a model, and what it was told to forget."""

    def __init__(self):
        self.model_config = SimpleNamespace(
            get_hidden_size=lambda: HIDDEN, get_vocab_size=lambda: VOCABULARY, max_model_len=POSITIONS
        )
        self.forgotten: list[str] = []
        self.engine_core = SimpleNamespace(shutdown=lambda: self.forgotten.append("all"))

    def abort_request(self, ids):
        self.forgotten += ids


ODD = [
    ({"embeddings": torch.zeros(4, HIDDEN - 1)}, r"\(4, 31\).*\(length, 32\)"),
    ({"embeddings": torch.zeros(1, 4, HIDDEN)}, r"\(length, 32\)"),
    ({"embeddings": torch.zeros(POSITIONS - 4, HIDDEN)}, r"252 positions and 5 new tokens.*256"),
    ({"token_ids": (3, VOCABULARY)}, "0 … 60"),
    ({"token_ids": (-1, 3)}, "0 … 60"),
    ({"token_ids": (3,) * POSITIONS}, "lower engine.max_new_tokens"),
]


@pytest.mark.parametrize(("prompt", "message"), ODD)
def test_a_prompt_that_could_crash_vllm_never_gets_there(prompt, message):
    engine = VllmEngine(FakeLlm(), end_token_ids=[2])
    with pytest.raises(ValueError, match=message):
        engine.submit(Request("odd", 5, **prompt))
    assert engine.pending == 0


def test_closing_twice_lets_go_once():
    llm = FakeLlm()
    engine = VllmEngine(llm, end_token_ids=[2])
    engine.close()
    engine.close()
    assert llm.forgotten == ["all"]


def test_a_model_in_float32_is_not_merged_to_be_refused_by_vllm(tmp_path):
    engine = EngineSettings("vllm", gpus_per_actor=1, quantization="fp8", merged_path=str(tmp_path))
    with pytest.raises(ValueError, match=r"model\.dtype: bfloat16"):
        vllm_opener(SimpleNamespace(dtype=torch.float32), ModelSettings("pocket"), engine, Timing("caption"))
    assert not list(tmp_path.iterdir())


def test_a_model_that_cannot_be_divided_is_not_merged_to_be_refused_by_vllm(tmp_path):
    engine = EngineSettings("vllm", gpus_per_actor=3, merged_path=str(tmp_path))
    config = SimpleNamespace(text=SimpleNamespace(num_attention_heads=56))
    pllava = SimpleNamespace(dtype=torch.bfloat16, config=config)
    with pytest.raises(ValueError, match=r"engine\.gpus_per_actor 3: .* 56 heads"):
        vllm_opener(pllava, ModelSettings("pocket"), engine, Timing("caption"))
    assert not list(tmp_path.iterdir())


class OpensSlowly:
    """Stands for vLLM, and knows how many were opened at the same time."""

    opening, most = 0, 0

    @classmethod
    def from_engine_args(cls, _):
        cls.opening += 1
        cls.most = max(cls.most, cls.opening)
        time.sleep(0.3)
        cls.opening -= 1


@pytest.mark.parametrize(("share", "at_once"), [(0.5, 1), (1, 2)])
def test_copies_that_share_a_card_are_opened_one_after_another(monkeypatch, share, at_once):
    monkeypatch.setattr(OpensSlowly, "most", 0)
    vllm = SimpleNamespace(EngineArgs=SimpleNamespace, LLMEngine=OpensSlowly)
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    engine = EngineSettings("vllm", gpus_per_actor=share)
    model = Path(), engine, SimpleNamespace(max_position_embeddings=64), torch.bfloat16
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: open_llm(*model), range(2)))
    assert OpensSlowly.most == at_once


def mixed_requests(count: int) -> list[Request]:
    chance = random.Random(7)
    return [
        Request(
            f"r{place}",
            chance.randint(1, 40),
            token_ids=tuple(chance.randrange(10, VOCABULARY) for _ in range(chance.choice((3, 9, 9, 70)))),
            repetition_penalty=chance.choice((1.0, 1.0, 1.2, 2.5)),
        )
        for place in range(count)
    ]


def by_id(completions):
    return {completion.request_id: completion for completion in completions}


@pytest.mark.vllm
class TestWithVllm:
    """Against the transformers engine, in float32 on a CPU."""

    def test_tokens_and_reasons_equal_those_of_the_transformers_engine(self, make_vllm_engine, wide_headed):
        requests = mixed_requests(50)
        table = wide_headed.get_input_embeddings()
        embedded = [replace(each, token_ids=None, embeddings=table(torch.tensor(each.token_ids))) for each in requests]
        expected = by_id(complete(TransformersEngine(wide_headed, end_token_ids=[2, 7, 9]), requests))
        assert by_id(complete(make_vllm_engine(5), requests)) == expected
        assert by_id(complete(make_vllm_engine(5), embedded)) == expected
        assert {done.finish_reason for done in expected.values()} == {"stop", "length"}

    def test_embeddings_of_another_precision_are_cast(self, make_vllm_engine, wide_headed):
        table, engine = wide_headed.get_input_embeddings(), make_vllm_engine()
        rows = table(torch.tensor((11, 12, 13)))
        single, double = (complete(engine, [Request("r", 9, embeddings=each)]) for each in (rows, rows.double()))
        assert list(single) == list(double)

    @pytest.mark.parametrize(("prompt", "message"), ODD)
    def test_the_rest_is_served_where_one_is_refused(self, make_vllm_engine, prompt, message):
        engine = make_vllm_engine()
        engine.submit(Request("fine", 5, token_ids=(11, 12)))
        with pytest.raises(ValueError, match=message):
            engine.submit(Request("odd", 5, **prompt))
        assert by_id(complete(engine, [])).keys() == {"fine"}

    def test_a_card_has_the_runner_that_takes_our_processor(self, make_vllm_engine, monkeypatch):
        config = make_vllm_engine()._llm.vllm_config
        monkeypatch.setattr("vllm.config.vllm.HAS_TRITON", True)  # as on every card, and on no CPU
        assert not config.use_v2_model_runner

    def test_a_prompt_of_no_numbers_is_said_to_be_one(self, make_vllm_engine):
        requests = [Request("fine", 5, token_ids=(11, 12)), Request("broken", 5, embeddings=NO_NUMBERS)]
        done = by_id(complete(make_vllm_engine(), requests))
        assert done["broken"].finish_reason == "not_finite" and done["fine"].finish_reason != "not_finite"

    def test_the_last_position_of_the_context_can_be_written(self, make_vllm_engine):
        requests = [Request("long", 6, token_ids=(11,) * (POSITIONS - 6)), Request("short", 6, token_ids=(11,))]
        done = by_id(complete(make_vllm_engine(), requests))
        assert all(len(each.token_ids) == 6 or each.finish_reason == "stop" for each in done.values())

    # Closing an engine takes the process's groups of workers along, and with them what `make_vllm_engine` has open:
    # the tests from here on open their own.
    @pytest.fixture
    def open_engine(self, llama_folder, wide_headed):
        def open_(**spread):
            llm = open_llm(llama_folder, EngineSettings("vllm"), wide_headed.config, torch.float32, **spread)
            return VllmEngine(llm, end_token_ids=[2, 7, 9])

        return open_

    def test_an_engine_can_be_opened_again_and_spread_over_two_workers(self, open_engine):
        requests, alone = mixed_requests(12), open_engine()
        alone.submit(Request("forgotten", 40, token_ids=(5, 6)))
        wanted = by_id(done for done in complete(alone, requests) if done.request_id != "forgotten")
        alone.close()
        double = open_engine(**SPREAD)
        found = by_id(complete(double, requests))
        workers = [each for each in psutil.Process().children(recursive=True) if "Worker_TP" in each.name()]
        double.close()
        assert found == wanted
        assert len(workers) == 2 and psutil.wait_procs(workers, timeout=PATIENCE_S)[1] == []

    @pytest.mark.parametrize("cards", (1, 2))
    def test_nothing_outlives_a_killed_actor(self, llama_folder, cards):
        actor = subprocess.Popen([sys.executable, "-c", ACTOR, str(llama_folder), str(cards)], stdout=subprocess.PIPE)
        try:
            assert actor.stdout.readline() == b"open\n"
            family = psutil.Process(actor.pid).children(recursive=True)
            assert len(family) >= (cards if cards > 1 else 0)
        finally:
            os.kill(actor.pid, signal.SIGKILL)
            actor.wait()
        _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
        for left in Path("/dev/shm").glob("vllm_dist_*"):  # vLLM's leaving, on a CPU only
            left.unlink()
        assert alive == []


ACTOR = """
import sys, time, torch
from transformers import LlamaConfig
from recap.engines import EngineSettings
from recap.engines.vllm_engine import open_llm
if __name__ == "__main__":
    folder, cards = sys.argv[1], int(sys.argv[2])
    spread = {"tensor_parallel_size": cards, "distributed_executor_backend": "mp"} if cards > 1 else {}
    llm = open_llm(folder, EngineSettings("vllm"), LlamaConfig.from_pretrained(folder), torch.float32, **spread)
    print("open", flush=True)
    time.sleep(600)
"""


def captions(output) -> dict[str, list]:
    rows = [row for path in sorted((output / "shards").rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    return {row["clip_id"]: row["captions"] for row in rows}


@pytest.fixture(scope="module")
def caption_demo(home, tmp_path_factory):
    """A function that captions the demo's clips of the pocket world with one kind of engine."""
    folder = tmp_path_factory.mktemp("runs")

    def run(kind: str, runner: str, *more: str) -> dict[str, list]:
        output = folder / "-".join((kind, runner, *more))
        overrides = [f"engine.kind={kind}", f"output.path={output}", f"engine.merged_path={folder / 'merged'}", *more]
        overrides += ["translation.languages=[]", f"corpus.path={home / 'pipelines/demo/pocket'}", "engine.actors=1"]
        summary = jobs.run(load_pipeline(home / "pipelines/demo.yaml", overrides), runner=runner)
        assert (summary.captioned, summary.remaining) == (24, 0)
        return captions(output)

    return run


@pytest.mark.vllm
@pytest.mark.parametrize("runner", ("loop", pytest.param("ray", marks=pytest.mark.ray)))
def test_a_run_has_the_captions_of_the_transformers_engine(caption_demo, runner):
    found = caption_demo("vllm", runner)
    assert found == caption_demo("transformers", "loop")
    assert len({caption["text"] for (caption,) in found.values()}) > 12


class EightBits:
    """Of weights in eight bits, the one operation that vLLM's build for a CPU lacks; torch multiplies them."""

    def __init__(self):
        self.weights = 0

    def __call__(self, values, scale=None, **_):
        """Values (rows, columns) in float8 with a scale each for all of them, and that scale (1,) in float32."""
        self.weights += scale is not None
        limit = torch.finfo(torch.float8_e4m3fn).max
        if scale is None:
            scale = (values.abs().amax().float() / limit).reshape(1)
        return (values.float() / scale).clamp(-limit, limit).to(torch.float8_e4m3fn), scale


@pytest.mark.vllm
def test_a_run_in_eight_bits_sees_what_one_in_sixteen_does(caption_demo, monkeypatch):
    eight_bits = EightBits()
    monkeypatch.setattr("vllm._custom_ops.scaled_fp8_quant", eight_bits)
    monkeypatch.setattr(EngineSettings, "_check_quantization", lambda self: None)  # which wants a GPU
    found = caption_demo("vllm", "loop", "model.dtype=bfloat16", "engine.quantization=fp8")
    whole = caption_demo("vllm", "loop", "model.dtype=bfloat16")
    config = json.loads((resolve_checkpoint("pocket") / "config.json").read_text())
    assert eight_bits.weights == 4 * config["text_config"]["num_hidden_layers"]
    assert sum(found[clip] == caption for clip, caption in whole.items()) > 20

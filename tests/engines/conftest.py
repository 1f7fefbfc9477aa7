from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from recap.engines import Captioner, EngineSettings, PromptSettings, RehearsalFront
from recap.records import FrameRequest

from .failing import Gated, Mortal

VOCABULARY = 61
HIDDEN = 32


@pytest.fixture(scope="session")
def language_model() -> LlamaForCausalLM:
    return random_llama()


def random_llama(**other) -> LlamaForCausalLM:
    """Grouped-query and random; initialised wide enough that its texts differ and some of them end."""
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.4,
        bos_token_id=1,
        eos_token_id=[2, 7, 9],
        **other,
    )
    return LlamaForCausalLM(config).float().eval()


@pytest.fixture
def compute_with() -> Iterator[Callable[[int], None]]:
    """Sets with how many threads torch computes, for this test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


class Lent:
    """An opened vLLM that outlives the engines over it: opening one takes seconds."""

    def __init__(self, llm):
        self._llm = llm
        self.engine_core = SimpleNamespace(shutdown=lambda: None)

    def __getattr__(self, name):
        return getattr(self._llm, name)


@pytest.fixture(scope="session")
def wide_headed() -> LlamaForCausalLM:
    """vLLM has no attention for narrower heads."""
    return random_llama(head_dim=32)


@pytest.fixture(scope="session")
def llama_folder(wide_headed, tmp_path_factory):
    """`wide_headed` as files."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    wide_headed.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_vllm_engine(wide_headed, llama_folder):
    """A function from a batch size to vLLM over `wide_headed`, opened once for each batch size."""
    from recap.engines import EngineSettings
    from recap.engines.vllm_engine import VllmEngine, open_llm

    opened = {}

    def make(batch_size: int = 3):
        if batch_size not in opened:
            settings = EngineSettings("vllm", batch_size=batch_size)
            opened[batch_size] = open_llm(llama_folder, settings, wide_headed.config, torch.float32)
        return VllmEngine(Lent(opened[batch_size]), end_token_ids=wide_headed.config.eos_token_id)

    yield make
    for llm in opened.values():
        llm.engine_core.shutdown()


@pytest.fixture
def front():
    return RehearsalFront(PromptSettings(), EngineSettings(kind="rehearsal"), FrameRequest(count=4, size=8))


@pytest.fixture
def mortal(monkeypatch):
    def make(lives: int, *deadly: str):
        monkeypatch.setattr(Mortal, "lives", lives)
        monkeypatch.setattr(Mortal, "deadly", deadly)
        return Mortal

    return make


@pytest.fixture
def start():
    opened = []

    def start(engine, front, **options) -> Captioner:
        opened.append((Captioner(engine, front, **options), engine))
        return opened[-1][0]

    yield start
    for captioner, engine in opened:
        if isinstance(engine, Gated):
            engine.gate.set()
        captioner.close()

"""The bulk engine on a card: the CPU's texts, and a card's memory."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count

import pytest
import torch

from recap.engines import Request
from recap.engines.base import PROMPTS_PER_SLOT
from recap.engines.memory import (
    CUDA_SHARE,
    PREFILL_POSITIONS,
    PREFILL_SHARE,
    position_bytes,
    prefill_positions,
    rows_that_fit,
    usable_bytes,
)
from recap.engines.transformers_engine import TransformersEngine
from recap.pllava import load_pllava

DECODINGS = ({}, {"repetition_penalty": 1.4}, {"temperature": 0.9, "seed": 11})
LIMIT = 24


def language_model(checkpoint, **where):
    model = load_pllava(checkpoint, dtype="float32", **where)
    return model.language_model, model.config.eos_token_ids


@pytest.fixture(scope="session")
def on_cpu(checkpoint):
    return language_model(checkpoint)


@pytest.fixture
def on_card(chip, checkpoint):
    return language_model(checkpoint, device="cuda")


@pytest.fixture(scope="session")
def requests(on_cpu) -> list[Request]:
    """Prompts of mixed lengths, limits and decoding, as embeddings."""
    embed, chance = on_cpu[0].get_input_embeddings(), random.Random(3)
    lengths = [chance.choice((4, 8, 8, 13, chance.randint(1, 70))) for _ in range(50)]
    prompts = [torch.tensor([chance.randrange(10, embed.num_embeddings) for _ in range(length)]) for length in lengths]
    return [
        Request(f"r{place}", chance.randint(1, LIMIT), embeddings=embed(prompt), **chance.choice(DECODINGS))
        for place, prompt in enumerate(prompts)
    ]


@pytest.fixture(scope="session")
def expected(on_cpu, requests):
    """What each request is answered with on the CPU, alone."""
    found = {}
    for request in requests:
        found |= served(engine_of(on_cpu, 1), [request])
    assert len(set(found.values())) > 40
    return found


def engine_of(model, slots: int, headroom: int = 0) -> TransformersEngine:
    language_model, ends = model
    return TransformersEngine(language_model, end_token_ids=ends, batch_size=slots, headroom=headroom)


def served(engine, requests, between=lambda engine: None) -> dict[str, tuple[int, ...]]:
    """Completions where requests arrive in bursts, with `between` called after each step."""
    chance, waiting, done = random.Random(1), list(requests), {}
    while waiting or engine.pending:
        for _ in range(chance.choice((0, 0, 1, 4))):
            if waiting:
                engine.submit(waiting.pop(0))
        for completion in engine.step():
            assert completion.request_id not in done
            done[completion.request_id] = completion.token_ids
        between(engine)
    return done


@pytest.mark.parametrize("slots", (1, 3, 7))
def test_fifty_requests_are_answered_as_on_the_cpu(on_card, requests, expected, slots):
    there = [replace(request, embeddings=request.embeddings.to("cuda")) for request in requests]
    assert served(engine_of(on_card, slots), there) == expected


def test_prompts_come_from_the_cpu_too(on_card, requests, expected):
    assert served(engine_of(on_card, 5), requests) == expected


@pytest.mark.parametrize(
    "device_map",
    (
        {"": 0, "language_model.model.layers.1": 1, "language_model.model.layers.2": 1},
        {"": 0, "language_model.model.layers.1": "cpu", "language_model.lm_head": "disk"},
    ),
    ids=str,
)
def test_a_model_in_several_places_is_served(checkpoint, requests, expected, device_map):
    model, some = language_model(checkpoint, device_map=device_map), requests[:20]
    assert served(engine_of(model, 4), some) == {request.request_id: expected[request.request_id] for request in some}


def row_bytes(model, capacity: int) -> int:
    cached = position_bytes(model.config, model.dtype)
    return capacity * (cached + PROMPTS_PER_SLOT * model.config.hidden_size * model.dtype.itemsize)


def test_slots_are_as_many_as_the_card_holds_and_never_too_many(chip, on_card, requests, expected):
    model, longest = on_card[0], max(request.length + request.max_new_tokens for request in requests)
    capacity = -(-longest // 64) * 64
    chip.resize(0, chip.used(0) + int(5.5 * row_bytes(model, capacity) / CUDA_SHARE))
    counts = set()
    ordered = sorted(requests, key=lambda request: -request.length - request.max_new_tokens)
    assert served(engine_of(on_card, 50), ordered, lambda engine: counts.add(engine.slots)) == expected
    assert counts - {50} == {5}


def test_a_nearly_full_card_takes_in_fewer_positions_together(chip, on_card):
    model = on_card[0]
    assert prefill_positions(model) == PREFILL_POSITIONS["cuda"]
    position = (3 * model.config.intermediate_size + 4 * model.config.hidden_size) * model.dtype.itemsize
    chip.resize(0, chip.used(0) + 100 * round(position / PREFILL_SHARE / (1 - CUDA_SHARE)))
    assert 98 <= prefill_positions(model) <= 100


def test_blocks_that_live_elsewhere_have_their_cache_on_the_card(chip, checkpoint):
    whole, _ = language_model(checkpoint, device="cuda")
    chip.resize(0, chip.used(0) + 10 * row_bytes(whole, 512))
    expected = rows_that_fit(whole, 512, 50)
    elsewhere = {"language_model.model.layers.1": "cpu", "language_model.model.layers.2": "disk"}
    spread, _ = language_model(checkpoint, device_map={"": 0} | elsewhere)
    chip.resize(0, chip.used(0) + 10 * row_bytes(whole, 512))
    assert rows_that_fit(spread, 512, 50) == expected == 8
    parted, _ = language_model(checkpoint, device_map={"": 0} | dict.fromkeys(elsewhere, 1))
    chip.resize(0, chip.used(0) + 10 * row_bytes(whole, 512))
    assert rows_that_fit(parted, 512, 50) > expected


def test_a_card_that_others_fill_meanwhile_costs_slots_and_no_text(chip, on_card, requests, expected, caplog):
    steps = count()

    def fill(_):
        if next(steps) == 20:
            chip.resize(0, chip.used(0) + 3000)

    assert served(engine_of(on_card, 8, headroom=2000), requests, fill) == expected
    assert "out of memory with 8 clips at a time; going on with 4" in caplog.text


def test_a_copy_with_half_a_card_counts_on_no_more(chip):
    whole = usable_bytes(torch.device("cuda"))
    torch.cuda.set_per_process_memory_fraction(0.5)
    assert usable_bytes(torch.device("cuda")) == pytest.approx(whole / 2, rel=0.01)
    chip.resize(0, chip.used(0) + 1000)  # the other has already taken the rest, and more
    assert usable_bytes(torch.device("cuda")) <= CUDA_SHARE * 1000


@pytest.fixture
def graphs(monkeypatch):
    """How often steps were recorded and replayed."""
    monkeypatch.setattr(torch.cuda.CUDAGraph, "recorded", 0)
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replayed", 0)
    return torch.cuda.CUDAGraph


@pytest.mark.parametrize("slots", (1, 5, 20))
def test_steps_are_replayed_and_texts_stay(on_card, requests, expected, graphs, slots):
    engine, most = engine_of(on_card, slots), []
    assert served(engine, requests, lambda engine: most.append(engine.graphs)) == expected
    assert 0 < max(most) <= graphs.recorded < graphs.replayed / 2


def test_steps_are_launched_piece_by_piece_where_that_is_wanted(on_card, requests, expected, graphs):
    model, ends = on_card
    engine = TransformersEngine(model, end_token_ids=ends, batch_size=5, cuda_graphs=False)
    assert served(engine, requests) == expected and not graphs.recorded


def test_steps_of_a_model_in_several_places_are_not_recorded(checkpoint, requests, graphs):
    for device_map in ({"": 0, "language_model.model.layers.1": 1}, {"": 0, "language_model.lm_head": "cpu"}, {"": 1}):
        served(engine_of(language_model(checkpoint, device_map=device_map), 4), requests[:20])
    assert not graphs.recorded


def test_memory_of_graphs_goes_with_their_slots(chip, on_card, requests):
    used = chip.used(0)
    engine = engine_of(on_card, 5)
    served(engine, [replace(request, embeddings=request.embeddings.to("cuda")) for request in requests])
    assert engine.graphs
    engine.close()
    assert chip.used(0) == used

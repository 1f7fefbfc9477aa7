from __future__ import annotations

import gc
import random
import weakref
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn

from recap.engines import Request, complete, memory
from recap.engines import transformers_engine as module
from recap.engines.packing import packed
from recap.engines.slots import Slots, round_up
from recap.engines.transformers_engine import TransformersEngine

BFLOAT16 = pytest.mark.skipif(
    not torch.cpu._is_avx512_bf16_supported(),
    reason="this CPU does not multiply bfloat16",
)


@pytest.fixture
def make_engine(language_model):
    def make(batch_size: int = 3, model=language_model) -> TransformersEngine:
        return TransformersEngine(model, end_token_ids=language_model.config.eos_token_id, batch_size=batch_size)

    return make


@pytest.fixture
def engine(make_engine):
    return make_engine()


def token_requests(count: int = 7, seed: int = 3, **decoding) -> list[Request]:
    """Prompts of mixed lengths: a few that recur, as those of one recipe, and any other."""
    chance = random.Random(seed)
    lengths = [chance.choice((4, 8, 8, 13, chance.randint(1, 70))) for _ in range(count)]
    return [
        Request(
            f"r{place}",
            chance.randint(1, 30),
            token_ids=tuple(chance.randrange(10, 61) for _ in range(length)),
            **decoding,
        )
        for place, length in enumerate(lengths)
    ]


def embedded(request: Request, model) -> Request:
    rows = model.get_input_embeddings()(torch.tensor(request.token_ids)).detach()
    return replace(request, token_ids=None, embeddings=rows)


def texts(engine, requests):
    return {done.request_id: done.token_ids for done in complete(engine, requests)}


def generated(model, request: Request) -> tuple[int, ...]:
    """What transformers itself writes for this request alone."""
    prompt = torch.tensor([request.token_ids])
    options = {"max_new_tokens": request.max_new_tokens, "do_sample": False, "pad_token_id": 0}
    whole = model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)
    new, ends = whole[0, request.length :].tolist(), model.config.eos_token_id
    return tuple(new[: next((place for place, token in enumerate(new) if token in ends), None)])


def served_at_random(engine, requests, seed: int):
    """Completions where requests arrive in bursts, between steps."""
    chance, waiting, done = random.Random(seed), list(requests), {}
    while waiting or engine.pending:
        for _ in range(chance.choice((0, 0, 0, 1, 4))):
            if waiting:
                engine.submit(waiting.pop(0))
        for completion in engine.step():
            assert completion.request_id not in done
            done[completion.request_id] = completion.token_ids
    return done


@pytest.fixture(scope="session")
def references(language_model):
    language_model.set_attn_implementation("sdpa")
    return {request.request_id: generated(language_model, request) for request in token_requests(50)}


@pytest.mark.parametrize("slots", (1, 2, 3, 7))
def test_fifty_requests_arriving_at_random_equal_generate_one_by_one(make_engine, language_model, references, slots):
    requests = token_requests(50)
    as_embeddings = [embedded(request, language_model) for request in requests]
    assert served_at_random(make_engine(slots), as_embeddings, seed=slots) == references
    assert len(set(references.values())) > 40


@pytest.mark.parametrize("made", (nn.Module.float, packed, pytest.param(nn.Module.bfloat16, marks=BFLOAT16)))
@pytest.mark.parametrize("threads", (1, 2))
def test_not_even_the_last_bit_depends_on_the_neighbours(
    language_model, make_engine, threads, made, monkeypatch, compute_with
):
    """Scores of every step, alone and in company, on a CPU. (A prompt of a few words is another matter.)"""
    model = made(deepcopy(language_model))
    scores: dict[str, list] = {}
    decode = Slots.decode

    def recorded(slots):
        taken = []
        hook = slots._model.lm_head.register_forward_hook(lambda _, __, out: taken.append(out[:, -1].clone()))
        written = slots.requests
        finished = decode(slots)
        hook.remove()
        for row, request in enumerate(written):
            scores.setdefault(request.request_id, []).append(taken[0][row])
        return finished

    monkeypatch.setattr(Slots, "decode", recorded)
    compute_with(threads)
    requests = [request for request in token_requests(24) if request.length > 16]
    texts(make_engine(9, model), requests)
    crowd, scores = scores, {}
    for request in requests:
        texts(make_engine(1, model), [request])
    assert crowd.keys() == scores.keys()
    for name, alone in scores.items():
        assert torch.equal(torch.stack(alone), torch.stack(crowd[name])), name


def test_a_prompt_of_no_numbers_leaves_nothing_behind_for_others(make_engine, language_model, references):
    requests = [embedded(request, language_model) for request in token_requests(50)]
    broken = Request("broken", 40, embeddings=torch.full((60, language_model.config.hidden_size), torch.nan))
    done = {each.request_id: each for each in complete(make_engine(2), [broken, *requests])}
    assert done.pop("broken").finish_reason == "not_finite"
    assert {name: each.token_ids for name, each in done.items()} == references


def test_a_prompt_of_no_numbers_leaves_nothing_behind_for_one_position(make_engine, language_model):
    """Which has no prefill of its own to wipe the slot."""
    broken = Request("broken", 9, embeddings=torch.full((60, language_model.config.hidden_size), torch.nan))
    one = Request("one", 9, token_ids=(11,))
    assert texts(make_engine(1), [broken, one])["one"] == generated(language_model, one)


def test_token_ids_and_embeddings_agree(engine, language_model):
    requests = token_requests(repetition_penalty=1.3)
    as_embeddings = [embedded(request, language_model) for request in requests]
    assert texts(engine, requests) == texts(engine, as_embeddings)


def test_a_finished_texts_place_goes_to_the_next_prompt(engine):
    for place, limit in enumerate((3, 9, 9, 2)):
        engine.submit(Request(f"r{place}", limit, token_ids=(11, 12, 13 + place)))
    order = [[done.request_id for done in engine.step()] for _ in range(12)]
    assert [sorted(names) for names in order if names] == [["r0"], ["r3"], ["r1", "r2"]]


def test_prompts_of_one_length_are_taken_in_together(engine, make_engine, monkeypatch):
    taken = []
    prefill = Slots.prefill
    monkeypatch.setattr(
        Slots, "prefill", lambda slots, batch: taken.append([r.request_id for r in batch]) or prefill(slots, batch)
    )
    for place, length in enumerate((4, 9, 4, 9, 4, 9)):
        engine.submit(Request(f"r{place}", 2, token_ids=(11,) * length))
    while engine.pending:
        engine.step()
    assert taken == [["r0", "r2", "r4"], ["r1", "r3", "r5"]]
    taken.clear()
    monkeypatch.setitem(memory.PREFILL_POSITIONS, "cpu", 10)
    texts(make_engine(4), [Request(f"r{place}", 2, token_ids=(11,) * 5) for place in range(3)])
    assert taken == [["r0", "r1"], ["r2"]]


def test_a_text_may_end_with_its_first_token(make_engine, language_model):
    (request,) = token_requests(1)
    (first,) = generated(language_model, replace(request, max_new_tokens=1))
    one = next(complete(make_engine(), [replace(request, max_new_tokens=1)]))
    assert (one.token_ids, one.finish_reason) == ((first,), "length")
    ending = TransformersEngine(language_model, end_token_ids=[first])
    assert next(complete(ending, [request])).token_ids == ()
    assert next(complete(ending, [replace(request, max_new_tokens=1)])).finish_reason == "stop"


def test_embeddings_of_another_precision_are_cast(engine, language_model):
    (request,) = token_requests(1)
    double = embedded(request, language_model)
    double = replace(double, embeddings=double.embeddings.double())
    assert texts(engine, [double]) == texts(engine, [request])


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({"embeddings": torch.zeros(4, 31)}, r"\(4, 31\).*\(length, 32\)"),
        ({"embeddings": torch.zeros(1, 4, 32)}, r"\(length, 32\)"),
        ({"token_ids": (3, 61)}, "0 … 60"),
        ({"token_ids": (-1, 3)}, "0 … 60"),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused_and_the_rest_served(engine, prompt, message):
    (request,) = token_requests(1)
    engine.submit(request)
    with pytest.raises(ValueError, match=message):
        engine.submit(Request("odd", 5, **prompt))
    assert engine.pending == 1 and texts(engine, []).keys() == {"r0"}


def test_closing_in_the_middle_forgets_everything(engine):
    for request in token_requests(9):
        engine.submit(request)
    for _ in range(4):
        engine.step()
    engine.close()
    assert engine.pending == 0 and engine.step() == []


def test_a_cache_is_given_back_at_once(engine):
    """A card has no room for the next one beside it, and Python looks for circles when it likes."""
    for request in token_requests(4):
        engine.submit(request)
    engine.step()
    cache = weakref.ref(engine._slots._cache)
    gc.disable()
    try:
        engine.close()
        assert cache() is None
    finally:
        gc.enable()


ALIKE = [Request(f"r{place}", 9, token_ids=(11, 12, 13 + place)) for place in range(8)]  # taken in together
TORCHS_OWN = torch.OutOfMemoryError("CUDA out of memory: tried to allocate")


class Cramped(torch.nn.Module):
    """A model whose memory holds `rows` texts: it fails half-way through a forward with more."""

    def __init__(self, model, rows: int, error: RuntimeError):
        super().__init__()
        self.inner, self.rows, self.error, self.failures = model, rows, error, 0
        self.handle = model.model.layers[1].register_forward_pre_hook(self._check)

    def _check(self, _, arguments):
        if len(arguments[0]) > self.rows:
            self.failures += 1
            raise self.error

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.inner, name)

    def forward(self, **inputs):
        return self.inner(**inputs)


@pytest.fixture
def cramped(language_model, monkeypatch):
    made = []

    def make(rows, error=TORCHS_OWN):
        made.append(Cramped(language_model, rows, error))
        return made[-1]

    monkeypatch.setattr("recap.engines.slots.CPU_ROWS_PER_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    yield make
    for model in made:
        model.handle.remove()


@pytest.mark.parametrize("temperature", (0.0, 0.9))
@pytest.mark.parametrize(("rows", "failures"), [(1, 3), (3, 2), (4, 1)])
def test_out_of_memory_halves_the_slots_and_loses_no_clip(make_engine, cramped, rows, failures, temperature, caplog):
    requests = sorted(token_requests(30, temperature=temperature, seed=1), key=lambda request: request.length != 8)
    expected = texts(make_engine(8), requests)
    model = cramped(rows)
    engine = make_engine(8, model)
    for request in requests[:8]:
        engine.submit(request)
    assert served_at_random(engine, requests[8:], seed=2) == expected
    assert 1 <= model.failures <= failures and "out of memory with 8 clips" in caplog.text


def test_slots_that_cannot_even_be_made_are_halved(make_engine, monkeypatch, caplog):
    expected, made, make = texts(make_engine(8), token_requests(12)), [], module.Slots

    def no_room_for_eight(model, ends, count, *size, **how):
        made.append(count)
        if count == 8:
            raise torch.OutOfMemoryError("CUDA out of memory: tried to allocate")
        return make(model, ends, count, *size, **how)

    monkeypatch.setattr(module, "Slots", no_room_for_eight)
    assert texts(make_engine(8), token_requests(12)) == expected
    assert made == [8, 4] and "out of memory with 8 clips" in caplog.text


@pytest.mark.parametrize(
    "error",
    (torch.AcceleratorError("CUDA error: out of memory"), RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")),
    ids=("driver", "cublas"),
)
def test_so_does_memory_that_the_driver_or_a_library_lacks(make_engine, cramped, error):
    expected, model = texts(make_engine(8), ALIKE), cramped(4, error)
    assert texts(make_engine(8, model), ALIKE) == expected and model.failures == 1


def test_what_is_no_lack_of_memory_is_raised(make_engine, cramped):
    engine = make_engine(8, cramped(0, RuntimeError("CUDA error: an illegal memory access was encountered")))
    engine.submit(token_requests(1)[0])
    with pytest.raises(RuntimeError, match="illegal memory access"):
        engine.step()


def test_a_card_that_cannot_even_be_emptied_ends_nothing(make_engine, cramped, monkeypatch):
    def refuses():
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")

    expected, model = texts(make_engine(8), ALIKE), cramped(4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", refuses)
    assert texts(make_engine(8, model), ALIKE) == expected and model.failures == 1


def test_its_models_norms_are_fused(make_engine, language_model):
    model = deepcopy(language_model)
    make_engine(1, model)
    assert type(model.model.norm) is nn.RMSNorm


def test_one_clip_that_does_not_fit_is_said(make_engine, cramped):
    engine = make_engine(2, cramped(0))
    engine.submit(token_requests(1)[0])
    with pytest.raises(MemoryError, match=r"lower engine\.max_new_tokens"):
        while True:
            engine.step()
    assert engine.pending == 1


def test_slots_are_as_many_as_memory_holds(make_engine, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "rows_that_fit", lambda _, *about: asked.append(about[:2]) or 2)
    expected = texts(make_engine(1), token_requests(12))
    assert texts(make_engine(6), token_requests(12)) == expected
    assert asked[-1][1] == round_up(6, 4 * torch.get_num_threads()) and all(capacity % 64 == 0 for capacity, _ in asked)


@pytest.mark.parametrize(("fitting", "rows", "count"), [(2, 2, 2), (11, 8, 6), (4, 4, 4), (3, 3, 3)])
def test_rows_that_a_step_computes_for_nothing_take_no_memory_that_is_not_there(
    make_engine, monkeypatch, compute_with, fitting, rows, count
):
    monkeypatch.setattr(module, "rows_that_fit", lambda *_: fitting)
    compute_with(1)
    engine = make_engine(6)
    complete_one = texts(engine, token_requests(7))
    (kept,) = {layer.keys.shape[0] for layer in engine._slots._cache.layers}
    assert (kept, engine.slots, len(complete_one)) == (rows, count, 7)


def test_a_longer_prompt_waits_for_larger_slots(engine):
    short, long = Request("short", 20, token_ids=(11,) * 9), Request("long", 8, token_ids=(12,) * 150)
    expected = texts(engine, [long]) | texts(engine, [short])
    engine.submit(short)
    engine.step()
    assert texts(engine, [long]) == expected


def test_a_text_that_the_context_does_not_hold_is_refused_for_itself(engine, language_model):
    positions = language_model.config.max_position_embeddings
    with pytest.raises(ValueError, match=rf"9 positions and {positions - 8} new tokens exceed.*{positions}"):
        engine.submit(Request("long", positions - 8, token_ids=(11,) * 9))
    assert texts(engine, [Request("fits", positions - 9, token_ids=(11,) * 9)])

"""What every engine must keep; a new engine joins `ENGINES` and nothing else."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from recap.engines import RehearsalEngine, Request, complete
from recap.engines.transformers_engine import TransformersEngine

ENGINES = ("transformers", "rehearsal", pytest.param("vllm", marks=pytest.mark.vllm))


@pytest.fixture(params=ENGINES)
def make_engine(request):
    if request.param == "rehearsal":
        return lambda batch_size=3: RehearsalEngine(batch_size=batch_size)
    if request.param == "vllm":
        return request.getfixturevalue("make_vllm_engine")
    model = request.getfixturevalue("language_model")
    ends = model.config.eos_token_id
    return lambda batch_size=3: TransformersEngine(model, end_token_ids=ends, batch_size=batch_size)


def prompts(count: int, *, seed: int = 0, **decoding) -> list[Request]:
    """Mixed lengths and limits, as neighbours of each other."""
    chance = random.Random(seed)
    return [
        Request(
            f"r{number}",
            chance.randint(5, 40),
            token_ids=tuple(chance.randrange(10, 61) for _ in range(chance.choice((4, 9, 9, 15)))),
            **decoding,
        )
        for number in range(count)
    ]


def by_id(completions):
    completions = list(completions)
    found = {completion.request_id: completion for completion in completions}
    assert len(found) == len(completions), "a request was completed twice"
    return found


def alone(make_engine, requests):
    return by_id(done for request in requests for done in complete(make_engine(1), [request]))


DECODINGS = (
    {},
    {"repetition_penalty": 1.7},
    {"temperature": 0.9, "seed": 11},
    {"repetition_penalty": 1.4, "temperature": 1.3, "seed": 4},
)


def test_every_request_completes_once(make_engine):
    requests = prompts(17)
    assert set(by_id(complete(make_engine(), requests))) == {request.request_id for request in requests}


def test_limits_and_reasons(make_engine):
    requests = prompts(24)
    done = by_id(complete(make_engine(), requests))
    for request in requests:
        completion = done[request.request_id]
        room_left = len(completion.token_ids) < request.max_new_tokens
        assert len(completion.token_ids) <= request.max_new_tokens
        assert (completion.finish_reason == "stop") == room_left


def test_a_lower_limit_is_a_prefix(make_engine):
    (request,) = prompts(1)
    whole, cut = (
        next(complete(make_engine(), [replace(request, max_new_tokens=limit)])).token_ids for limit in (30, 3)
    )
    assert cut == whole[:3] and len(cut) == 3


def test_both_reasons_occur(make_engine):
    requests = [replace(request, max_new_tokens=70) for request in prompts(12, repetition_penalty=1.3)]
    requests.append(replace(requests[0], request_id="cut", max_new_tokens=1))
    assert {done.finish_reason for done in complete(make_engine(), requests)} == {"stop", "length"}


@pytest.mark.parametrize("decoding", DECODINGS, ids=str)
@pytest.mark.parametrize("batch_size", (2, 5))
def test_neighbours_order_and_batch_size_do_not_matter(make_engine, batch_size, decoding):
    requests = prompts(11, **decoding)
    shuffled = random.Random(1).sample(requests, len(requests))
    assert by_id(complete(make_engine(batch_size), shuffled)) == alone(make_engine, requests)


def test_requests_decoded_differently_share_an_engine(make_engine):
    requests = [
        replace(request, request_id=f"{request.request_id}-{number}")
        for number, decoding in enumerate(DECODINGS)
        for request in prompts(3, **decoding)
    ]
    assert by_id(complete(make_engine(4), requests)) == alone(make_engine, requests)


def test_texts_depend_on_prompt_penalty_and_seed(make_engine):
    def texts(change=lambda request: request, **decoding):
        done = by_id(complete(make_engine(), [change(request) for request in prompts(5, **decoding)]))
        return tuple(done[f"r{number}"].token_ids for number in range(5))

    variants = {
        texts(),
        texts(lambda request: replace(request, token_ids=request.token_ids[::-1])),
        texts(repetition_penalty=3.0),
        texts(temperature=1.0, seed=1),
        texts(temperature=1.0, seed=2),
    }
    assert len(variants) == 5


def test_the_seed_is_idle_without_temperature(make_engine):
    (request,) = prompts(1)
    texts = {next(complete(make_engine(), [replace(request, seed=seed)])).token_ids for seed in (0, 1)}
    assert len(texts) == 1


def test_submitting_while_it_runs(make_engine):
    engine, requests, done = make_engine(2), prompts(9), []
    for request in requests:
        engine.submit(request)
        done += engine.step()
    while engine.pending:
        done += engine.step()
    assert by_id(done) == alone(make_engine, requests)


def test_pending_counts_what_is_owed(make_engine):
    engine, requests = make_engine(2), prompts(5)
    assert engine.pending == 0 and engine.step() == []
    for request in requests:
        engine.submit(request)
    owed = len(requests)
    while owed:
        owed -= len(engine.step())
        assert engine.pending == owed


def test_an_id_may_return_once_completed(make_engine):
    engine, (request,) = make_engine(), prompts(1)
    first, second = (next(complete(engine, [request])) for _ in range(2))
    assert first == second


def test_an_id_in_flight_is_refused(make_engine):
    engine, (request,) = make_engine(), prompts(1)
    engine.submit(request)
    with pytest.raises(AssertionError):
        engine.submit(request)


def test_close_forgets_and_refuses(make_engine):
    engine, (first, second) = make_engine(), prompts(2)
    engine.submit(first)
    engine.close()
    assert engine.pending == 0 and engine.step() == []
    with pytest.raises(AssertionError):
        engine.submit(second)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({}, "either embeddings or token_ids"),
        ({"token_ids": (1,), "embeddings": [[0.0]]}, "either embeddings or token_ids"),
        ({"token_ids": ()}, "empty"),
        ({"token_ids": (1,), "max_new_tokens": 0}, "max_new_tokens"),
        ({"token_ids": (1,), "temperature": -1.0}, "temperature"),
        ({"token_ids": (1,), "repetition_penalty": 0.0}, "repetition_penalty"),
    ],
)
def test_impossible_requests(facts, message):
    with pytest.raises(ValueError, match=message):
        Request("r", **({"max_new_tokens": 4} | facts))

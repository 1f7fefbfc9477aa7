from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

from recap.engines import Request, complete
from recap.engines.decoding import penalise, perturb
from recap.engines.transformers_engine import TransformersEngine


@pytest.fixture
def engine(language_model):
    return TransformersEngine(language_model, end_token_ids=language_model.config.eos_token_id, batch_size=3)


def token_requests(count: int = 7, **decoding) -> list[Request]:
    chance = random.Random(3)
    lengths = [chance.choice((4, 8, 13)) for _ in range(count)]
    return [
        Request(f"r{place}", 20, token_ids=tuple(chance.randrange(10, 61) for _ in range(length)), **decoding)
        for place, length in enumerate(lengths)
    ]


def embedded(request: Request, model) -> Request:
    rows = model.get_input_embeddings()(torch.tensor(request.token_ids)).detach()
    return replace(request, token_ids=None, embeddings=rows)


def texts(engine, requests):
    return {done.request_id: done.token_ids for done in complete(engine, requests)}


def test_token_ids_and_embeddings_agree(engine, language_model):
    requests = token_requests(repetition_penalty=1.3)
    as_embeddings = [embedded(request, language_model) for request in requests]
    assert texts(engine, requests) == texts(engine, as_embeddings)


def test_greedy_equals_plain_generate(engine, language_model):
    for request in token_requests():
        prompt = torch.tensor([request.token_ids])
        whole = language_model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20, do_sample=False, pad_token_id=0
        )
        new = whole[0, len(request.token_ids) :].tolist()
        ends = language_model.config.eos_token_id
        expected = new[: next((place for place, token in enumerate(new) if token in ends), None)]
        assert texts(engine, [request]) == {request.request_id: tuple(expected)}


def test_prompts_of_one_length_are_served_together(engine):
    lengths = (4, 9, 4, 9, 4, 9)
    for place, length in enumerate(lengths):
        engine.submit(Request(f"r{place}", 2, token_ids=(11,) * length))
    assert [done.request_id for done in engine.step()] == ["r0", "r2", "r4"]
    assert [done.request_id for done in engine.step()] == ["r1", "r3", "r5"]


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
    requests = token_requests(2)
    engine.submit(requests[0])
    with pytest.raises(ValueError, match=message):
        engine.submit(Request("odd", 5, **prompt))
    assert {done.request_id for done in engine.step()} == {"r0"}


def test_the_penalty_is_the_one_everyone_uses():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 20, generator=generator)
    generated = torch.randint(0, 20, (3, 9), generator=generator)
    expected = RepetitionPenaltyLogitsProcessor(1.7)(generated, scores)
    for row in range(3):
        torch.testing.assert_close(penalise(scores[row], generated[row], 1.7), expected[row], rtol=0, atol=0)


def test_draws_follow_the_softmax():
    scores = torch.tensor([2.0, 1.0, 0.0, -1.0, -torch.inf])
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([perturb(scores, 0.7, generator).argmax() for _ in range(5000)])
    seen = torch.bincount(draws, minlength=5) / len(draws)
    torch.testing.assert_close(seen, torch.softmax(scores / 0.7, 0), rtol=0, atol=0.025)

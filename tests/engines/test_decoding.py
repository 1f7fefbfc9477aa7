from __future__ import annotations

import torch
from transformers import RepetitionPenaltyLogitsProcessor

from recap.engines import Request
from recap.engines.decoding import Decoding, Text, draw, penalise

VOCABULARY = 20


def scores_of(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, VOCABULARY, generator=torch.Generator().manual_seed(seed))


def text(written=(), **decoding) -> Text:
    made = Text(Request("r", 40, token_ids=(1,), **decoding))
    made.tokens += written
    return made


def choose(texts, scores):
    return Decoding(texts, VOCABULARY, scores.device).choose(scores).tolist()


def test_the_penalty_is_the_one_everyone_uses():
    scores, written = scores_of(3), torch.tensor([[3, 4, 4], [0, 19, 7], [5, 5, 5]])
    seen = torch.zeros(3, VOCABULARY, dtype=torch.bool).scatter(1, written, True)
    expected = RepetitionPenaltyLogitsProcessor(1.7)(written, scores)
    torch.testing.assert_close(penalise(scores, seen, torch.full((3, 1), 1.7)), expected, rtol=0, atol=0)


def test_the_penalty_counts_what_was_just_chosen():
    scores = torch.zeros(1, VOCABULARY)
    scores[0, [4, 5]] = torch.tensor([1.0, 0.9])
    decoding = Decoding([text(repetition_penalty=2.0)], VOCABULARY, scores.device)
    assert [decoding.choose(scores).item() for _ in range(3)] == [4, 5, 4]
    assert choose([text(written=[4], repetition_penalty=2.0)], scores) == [5]


def test_draws_follow_the_softmax():
    scores = torch.tensor([2.0, 1.0, 0.0, -1.0, -torch.inf]).expand(20_000, 5)
    uniform = torch.rand(20_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    draws = draw(scores, torch.full((20_000, 1), 0.7), uniform)
    seen = torch.bincount(draws, minlength=5) / len(draws)
    torch.testing.assert_close(seen, torch.softmax(scores[0] / 0.7, 0), rtol=0, atol=0.015)


def test_a_draw_at_either_end_is_a_token_that_can_be():
    scores = torch.tensor([[-torch.inf, 1.0, 2.0]] * 2)
    uniform = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    assert draw(scores, torch.ones(2, 1), uniform).tolist() == [1, 2]


def test_every_text_is_decoded_by_its_own_parameters():
    scores = scores_of(4)
    parameters = ({}, {"repetition_penalty": 3.0}, {"temperature": 2.0, "seed": 8}, {"temperature": 0.5, "seed": 3})
    likeliest = int(scores[1].argmax())

    def texts():
        return [text(written=[likeliest], **each) for each in parameters]

    together = choose(texts(), scores)
    assert together == [choose([each], scores[[row]])[0] for row, each in enumerate(texts())]
    assert together[0] == int(scores[0].argmax()) and together[1] != likeliest


def test_draws_go_on_where_they_were():
    scores = scores_of(1).expand(30, -1)
    whole = text(temperature=1.5, seed=9)
    decoding = Decoding([whole], VOCABULARY, scores.device)
    expected = [decoding.choose(row[None]).item() for row in scores]
    other = text(temperature=1.5, seed=9)
    assert [choose([other], row[None])[0] for row in scores] == expected and len(set(expected)) > 5

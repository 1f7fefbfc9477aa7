from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

from recap.engines import RehearsalEngine, Request, complete
from recap.engines.rehearsal import decode


def some(count: int, **facts) -> list[Request]:
    return [Request(f"r{place}", 400, token_ids=(place, 7), **facts) for place in range(count)]


def test_captions_read_as_sentences():
    for done in complete(RehearsalEngine(), some(20)):
        text = decode(done.token_ids)
        sentences = text.removesuffix(".").split(". ")
        assert done.finish_reason == "stop" and text.endswith(".") and 2 <= len(sentences) <= 6
        assert all(sentence.startswith("The ") and len(sentence.split()) >= 7 for sentence in sentences)


def test_completions_leave_out_of_order():
    order = [done.request_id for done in complete(RehearsalEngine(batch_size=4), some(20))]
    assert sorted(order) != order and len(set(order)) == 20


def test_any_number_in_the_embeddings_counts():
    prompt = np.zeros((3, 4), np.float32)
    other = prompt.copy()
    other[2, 3] = 1e-6
    requests = [Request(name, 400, embeddings=rows) for name, rows in (("a", prompt), ("b", other))]
    assert len({done.token_ids for done in complete(RehearsalEngine(), requests)}) == 2


def test_the_text_is_the_same_in_another_process():
    script = (
        "from recap.engines import *; from recap.engines.rehearsal import decode;"
        "print(decode(next(complete(RehearsalEngine(), [Request('a', 400, token_ids=(1, 2))])).token_ids))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] and runs[0].startswith("The ")


def test_latency_is_slept_in_steps_with_work_only(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    engine = RehearsalEngine(latency_s=0.05)
    engine.step()
    assert slept == []
    engine.submit(some(1)[0])
    engine.step()
    assert slept == [0.05]

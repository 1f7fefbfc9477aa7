from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from recap import jobs
from recap.budget import Budget
from recap.graph.stopping import Stop, stopping
from recap.graph.translating import TranslateStage


@pytest.fixture
def on_gpus(rehearsal):
    """The pipeline with two actors of half a GPU each, at 2 an hour."""
    pipeline = rehearsal("ray.price_per_gpu_hour=2")
    return replace(pipeline, engine=replace(pipeline.engine, actors=2, gpus_per_actor=0.5))


def test_the_narrower_of_hours_and_money_counts(on_gpus):
    assert Budget().seconds(on_gpus) is None
    assert Budget(gpu_hours=2).seconds(on_gpus) == 7200
    assert Budget(cost=1).seconds(on_gpus) == 1800
    assert Budget(gpu_hours=0.25, cost=1).seconds(on_gpus) == 900


def test_what_cannot_be_worked_out_is_refused(on_gpus, rehearsal):
    with pytest.raises(ValueError, match="gpus_per_actor is 0"):
        Budget(gpu_hours=1).seconds(rehearsal("engine.actors=1"))
    for odd in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="take a number"):
            Budget(gpu_hours=odd).seconds(on_gpus)
    with pytest.raises(ValueError, match="price_per_gpu_hour"):
        Budget(cost=1).seconds(replace(on_gpus, ray=replace(on_gpus.ray, price_per_gpu_hour=None)))


def test_a_run_stops_in_order_and_goes_on(rehearsal, monkeypatch):
    monkeypatch.setattr(Budget, "seconds", lambda budget, pipeline: budget.gpu_hours)
    whole = jobs.run(rehearsal("output.path=" + str(rehearsal().output.path) + "-whole"), runner="loop")
    pipeline = rehearsal("engine.batch_size=1")
    first = jobs.run(pipeline, runner="loop", budget=Budget(gpu_hours=0.0))
    assert first.is_over_budget and not first.complete and first.stopped_by is None
    assert first.captioned + first.remaining == 6 and first.remaining > 0
    assert jobs.run(pipeline, runner="loop").generation == whole.generation


def test_translating_costs_nothing_of_it(rehearsal, monkeypatch):
    monkeypatch.setattr(Budget, "seconds", lambda budget, pipeline: budget.gpu_hours)
    translate = TranslateStage.translate
    monkeypatch.setattr(TranslateStage, "translate", lambda *some: time.sleep(0.2) or translate(*some))
    chinese = rehearsal("translation.languages=[zh]", "translation.engine=rehearsal", "review.repair=false")
    jobs.run(rehearsal("review.repair=false"), runner="loop")
    summary = jobs.run(chinese, runner="loop", budget=Budget(gpu_hours=0.5))
    assert summary.complete and not summary.is_over_budget


def test_time_that_is_left_at_the_end_stops_nothing():
    with stopping(25.0, budget_s=0.2) as stop:
        assert not stop
    time.sleep(0.3)
    assert not stop and not stop.is_over_budget


def test_a_signal_after_the_budget_is_the_first_one(monkeypatch):
    stop = Stop(25.0, budget_s=0.0)
    assert stop.asked.wait(5) and stop.is_over_budget
    stop.on_signal(15, None)
    assert stop.signal == 15
    stop.close()


def test_a_run_that_fails_off_the_main_thread_leaves_no_timer():
    stops = []

    def fails():
        with suppress(OSError), stopping(25.0, budget_s=0.2) as stop:
            stops.append(stop)
            raise OSError

    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert not stops[0]

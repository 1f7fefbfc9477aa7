"""How a run is asked to stop, in this very process."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from recap.graph.stopping import GraceOver, RayLost, Stop, endable, stopping


def ask() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def wait(stop) -> None:
    while not stop.is_grace_over:
        time.sleep(0.01)
    time.sleep(0.1)


def test_the_end_of_the_grace_period_reaches_a_graph():
    with stopping(grace_s=0.05) as stop, pytest.raises(GraceOver), stop.interruptible():
        ask()
        time.sleep(20)


class Finalised:
    """Ends a run while it is finalised, where Python drops what is raised."""

    def __init__(self, stop):
        self.stop = stop

    def __del__(self):
        self.stop.end(RayLost())
        time.sleep(0.01)


def test_the_end_of_a_run_is_heard_where_python_drops_it():
    with pytest.raises(RayLost), stopping(grace_s=60) as stop, stop.interruptible():
        del [Finalised(stop)][0]
        time.sleep(20)


class Converted:
    """As a call of Ray's, makes a bare KeyboardInterrupt of what a signal raises, in a finaliser."""

    def __del__(self):
        try:
            time.sleep(1)
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None


def test_the_end_of_the_grace_period_stays_one_where_it_was_dropped():
    with stopping(grace_s=0.3) as stop, pytest.raises(GraceOver), stop.interruptible():
        ask()
        del [Converted()][0]
        time.sleep(20)


def test_it_reaches_nothing_between_graphs_and_the_next_one_at_its_start():
    with stopping(grace_s=0.05) as stop:
        ask()
        wait(stop)
        assert stop and stop.signal == signal.SIGTERM
        with pytest.raises(GraceOver), stop.interruptible():
            pytest.fail("a graph began")


def test_what_may_not_be_broken_off_is_finished_before_the_grace_ends():
    finished = []
    with stopping(grace_s=0.05) as stop, pytest.raises(GraceOver), stop.interruptible():
        with stop.uninterrupted():
            finished.append("before")
        with stop.uninterrupted():
            ask()
            time.sleep(0.5)
            finished.append("meanwhile")
        pytest.fail("the grace was over")
    assert finished == ["before", "meanwhile"]


def test_a_lost_ray_reaches_everything():
    with stopping(grace_s=60) as stop, pytest.raises(RayLost):
        threading.Timer(0.05, stop.end, (RayLost(),)).start()
        time.sleep(20)


@pytest.mark.ray
@pytest.mark.parametrize("error", [GraceOver(), RayLost()], ids=lambda error: type(error).__name__)
def test_calls_of_rays_are_ended_too(ray_session, error):
    asleep = ray_session.remote(num_cpus=0)(lambda: time.sleep(60)).remote()
    began = time.monotonic()
    with stopping(grace_s=60) as stop, pytest.raises(type(error)), stop.interruptible():
        threading.Timer(0.5, stop.end, (error,)).start()
        ray_session.get(asleep)
    assert time.monotonic() - began < 30
    ray_session.cancel(asleep, force=True)


@pytest.mark.ray
@pytest.mark.parametrize("call", [time.sleep, "ray.get"], ids=["of Python", "of Ray"])
def test_what_is_endable_ends_with_the_first_error_that_it_is_given(ray_session, call):
    asleep = ray_session.remote(num_cpus=0)(lambda: time.sleep(60)).remote()
    with pytest.raises(RayLost, match="first"), endable() as end:
        for delay, said in ((0.3, "first"), (0.4, "second")):
            threading.Timer(delay, end, (RayLost(said),)).start()
        ray_session.get(asleep) if call == "ray.get" else call(60)
    time.sleep(0.3)  # the second comes to nobody
    ray_session.cancel(asleep, force=True)


def test_a_key_still_interrupts_what_is_endable():
    with pytest.raises(KeyboardInterrupt) as interrupted, endable():
        signal.raise_signal(signal.SIGINT)
    assert interrupted.type is KeyboardInterrupt


def test_another_thread_than_the_main_one_is_never_interrupted():
    found = []

    def work():
        with stopping(grace_s=0.01, budget_s=0.01) as stop, stop.interruptible(), endable() as end:
            end(RayLost())
            wait(stop)
            found.append(stop.is_over_budget)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert found == [True]


def test_a_grace_that_is_over_once_handlers_went_interrupts_nobody(monkeypatch):
    interrupted = []
    monkeypatch.setattr("recap.graph.stopping._interrupt_main", lambda: interrupted.append(1))
    with stopping(25.0) as stop:
        pass
    stop._end_grace()
    stop.end(RayLost())
    assert stop.is_grace_over and not interrupted
    with endable() as end:
        pass
    end(RayLost())
    assert not interrupted


def test_a_lost_ray_is_not_taken_for_a_grace_that_is_over(monkeypatch):
    interrupts = []
    monkeypatch.setattr("recap.graph.stopping._interrupt_main", lambda: interrupts.append(1))
    stop = Stop(25.0)
    stop.is_heard = True
    stop.end(RayLost())
    stop.end(GraceOver())
    assert len(interrupts) == 1, "the second would be taken for a user's"
    with pytest.raises(RayLost):
        stop.on_signal(2, None)
    stop.close()


def test_the_echo_of_a_signal_is_none_of_its_own(monkeypatch):
    ended = []
    monkeypatch.setattr("recap.graph.stopping.os._exit", ended.append)
    with stopping(grace_s=60) as stop:
        ask()
        ask()
        assert stop and not ended
        monkeypatch.setattr("recap.graph.stopping.ECHO_S", 0)
        ask()
        assert ended == [128 + signal.SIGTERM]


def test_a_grace_without_an_end_is_one():
    stop = Stop(grace_s=1e12)
    stop.on_signal(15, None)
    time.sleep(0.1)
    assert stop._timer.is_alive()
    stop.close()


@pytest.mark.parametrize("budget_s", (0.5, 1e12))
def test_a_budget_that_is_at_its_end_asks_no_more(budget_s):
    with stopping(grace_s=60, budget_s=budget_s) as stop:
        stop.end_budget()
        time.sleep(0.6)
        assert not stop

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from threading import Timer

import pytest

from recap.leaving import leaving_soon, undropped

HELD_UP = """
import sys, time
from recap.leaving import leaving_soon
from recap.storage import scratch
with leaving_soon(), scratch("recap-plan-"):
    print("ready", flush=True)
    try:
        time.sleep(60)
    finally:
        time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("held_up_s", [0, 60])
def test_a_signal_ends_what_is_held_up_and_leaves_nothing(number, held_up_s, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HELD_UP, str(held_up_s)],
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert process.stdout.readline() == b"ready\n"
    assert len(list(tmp_path.iterdir())) == 1
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(30) == 128 + number and time.monotonic() - began < 15
    assert not list(tmp_path.iterdir())


@pytest.mark.ray
def test_a_call_of_rays_changes_nothing_of_the_status(ray_session):
    asleep = ray_session.remote(num_cpus=0)(lambda: time.sleep(60)).remote()
    Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(SystemExit) as left, leaving_soon():
        ray_session.get(asleep)
    assert left.value.code == 128 + signal.SIGTERM
    ray_session.cancel(asleep, force=True)


def test_afterwards_signals_are_what_they_were():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with leaving_soon():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


class Finalised:
    """Does something while it is finalised, where Python drops what is raised."""

    def __init__(self, does):
        self.does = does

    def __del__(self):
        self.does()
        time.sleep(0.01)


@pytest.fixture
def handlers():
    """Those of a run that has hardly begun."""
    raises = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: lambda *_: sys.exit(3)}
    before = {number: signal.signal(number, handler) for number, handler in raises.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_that_falls_into_a_finaliser_is_heard_all_the_same(handlers, number, error):
    before = sys.unraisablehook
    with pytest.raises(error), undropped():
        del [Finalised(lambda: os.kill(os.getpid(), number))][0]
        time.sleep(20)
    assert sys.unraisablehook is before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_else_is_dropped_stays_so():
    again = []
    with undropped(again.append):
        del [Finalised(lambda: 1 / 0)][0]
        time.sleep(0.2)
    assert not again


def test_what_was_dropped_at_the_very_end_comes_no_more(handlers):
    again = []
    with undropped(again.append):
        del [Finalised(lambda: os.kill(os.getpid(), signal.SIGTERM))][0]
    time.sleep(0.2)
    assert not again

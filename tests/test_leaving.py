from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from threading import Timer

import pytest

from recap.leaving import leaving_soon

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

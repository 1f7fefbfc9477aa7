"""The lease on an output in a store: one live run, a dead one's successor, no clock compared with another."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from recap import ledger
from recap.ledger import store_lease
from recap.storage import create, location

HOLD = """
import sys
from recap import ledger
from recap.ledger import store_lease
from recap.storage import location
store_lease.BEAT_S = 0.1
with ledger.lease(location(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def output(bucket, monkeypatch):
    """An output in the store, with a lease that beats and expires fast."""
    monkeypatch.setattr(store_lease, "BEAT_S", 0.1)
    monkeypatch.setattr(store_lease, "WATCH_S", 1.0)
    monkeypatch.setattr(store_lease, "EXPIRY_S", 4.0)
    return bucket / "out"


def test_a_live_run_refuses_a_second_one_and_a_dead_one_is_taken_over(output):
    command = [sys.executable, "-c", HOLD, str(output)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(ValueError, match=rf"another run \(pid {other.pid} on .*\) is writing"),
            ledger.lease(output),
        ):
            pass
        assert ledger.holder(output)[1] and ledger.holder(output)[0].pid == other.pid
        other.kill()
    who, is_held = ledger.holder(output)
    assert (who.pid, is_held) == (other.pid, False)
    died = time.monotonic()
    with ledger.lease(output) as epoch:
        assert epoch == 2 and time.monotonic() - died >= store_lease.EXPIRY_S


def test_a_lease_that_was_given_back_is_free_at_once_and_epochs_rise(output, monkeypatch):
    monkeypatch.setattr(store_lease, "EXPIRY_S", 1000.0)
    for expected in (1, 2, 3):
        with ledger.lease(output) as epoch:
            assert epoch == expected
        assert ledger.holder(output) == (None, False)


def test_of_several_that_begin_at_once_one_gets_it(output):
    def attempt(_):
        with suppress(ValueError):
            return leases.enter_context(ledger.lease(output))

    with ExitStack() as leases, ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(attempt, range(4)), key=str) == [1, None, None, None]


def test_clocks_do_not_matter(output, monkeypatch):
    """A holder whose clock is a year behind lives, one whose clock is ahead is dead when it stands still."""
    with ledger.lease(output):
        monkeypatch.setattr(time, "time", lambda: 0.0)
        with pytest.raises(ValueError, match="is writing"), ledger.lease(output):
            pass
    create(output / "lease/000002.json", store_lease._bytes(store_lease.Claim(2, 1, "h", "2099-01-01", "x")))
    with ledger.lease(output) as epoch:
        assert epoch == 3


def test_a_strangers_file_is_no_claim(output):
    with ledger.lease(output) as epoch:
        create(output / "lease/000007 copy.json", b"{}")
        create(output / "lease/readme.json", b"{}")
        assert store_lease.latest(output).epoch == epoch == 1
        assert store_lease.lives(output, store_lease.latest(output), 60)


def test_a_heart_outlives_whatever_goes_wrong_with_a_beat(output, monkeypatch):
    real, failures = store_lease.write_atomically, iter([RuntimeError("odd"), OSError("away")])

    def write(path, data):
        for failure in failures:
            raise failure
        real(path, data)

    monkeypatch.setattr(store_lease, "write_atomically", write)
    with ledger.lease(output):
        assert store_lease.lives(output, store_lease.latest(output), 60)
    assert next(failures, None) is None


@pytest.fixture
def hears_interrupts():
    """Also where the tests run in a script's background, which ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_run_that_was_overtaken_stops_and_may_not_finish(output, hears_interrupts):
    with pytest.raises(KeyboardInterrupt), ledger.lease(output) as epoch:
        ledger.require_lease(output, epoch)
        create(output / "lease/000002.json", store_lease._bytes(store_lease.Claim(2, 1, "host", "now", "x")))
        with pytest.raises(ValueError, match=r"another \(pid 1 on host, since now\) took"):
            ledger.require_lease(output, epoch)
        time.sleep(10)


def test_a_claim_whose_answer_was_lost_is_ours_all_the_same(output, proxy):
    proxy.behave(drop_answers=1)
    with ledger.lease(output) as epoch:
        assert epoch == 1 and not proxy.drop_answers


def test_an_output_that_cannot_be_written_says_so(hasty, bucket, scheme):
    nowhere = location(f"{scheme}://no-such-bucket-here/x")
    with pytest.raises(ValueError, match=f"cannot write to {nowhere}"), ledger.lease(nowhere):
        pass


def test_a_run_beside_the_main_thread_is_not_interrupted_for_all_others(output, monkeypatch):
    interrupts = []
    monkeypatch.setattr("recap.ledger.store_lease.signal.pthread_kill", lambda *what: interrupts.append(what))

    def overtaken() -> bool:
        with ledger.lease(output):
            create(output / "lease/000002.json", store_lease._bytes(store_lease.Claim(2, 1, "host", "now", "x")))
            (heart,) = (each for each in threading.enumerate() if isinstance(each, store_lease._Heart))
            return heart.over.wait(20)

    with ThreadPoolExecutor(1) as beside:
        assert beside.submit(overtaken).result()
    assert not interrupts


def test_a_signal_right_behind_the_claim_leaves_nothing_held(output, monkeypatch):
    real = store_lease._latest_epoch

    def interrupted(output):
        found = real(output)
        if found:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(store_lease, "_latest_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt), ledger.lease(output):
        pytest.fail("it was interrupted")
    monkeypatch.setattr(store_lease, "_latest_epoch", real)
    assert store_lease.latest(output).released
    with ledger.lease(output) as epoch:
        assert epoch == 2


def test_a_run_that_is_refused_gives_no_others_claim_back(output):
    store_lease_of_another = store_lease.Claim(1, 1, "host", "now", "x")
    mine = store_lease.Claim(1, 2, "here", "now", "y")
    create(output / "lease/000001.json", store_lease._bytes(store_lease_of_another))
    store_lease._Heart(output, mine, interrupts=False).release()
    assert store_lease.latest(output) == store_lease_of_another

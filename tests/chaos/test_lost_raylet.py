"""Ray's own process on this machine dies: the run says what to do and ends, before Ray ends it without a word."""

from __future__ import annotations

import pytest

from .processes import CHILD_GONE_S, MARKS, processes_of, wait_until_gone

pytestmark = [pytest.mark.ray, pytest.mark.timeout(280)]


def test_a_lost_raylet_ends_the_run_with_a_hint_and_the_next_one_goes_on(
    start, finish, pipeline, whole_of, tmp_path, wait_for_a_commit, deliverable, accounts
):
    process = start("ray", pipeline)
    wait_for_a_commit(process, tmp_path / "out")
    for raylet in processes_of(process.pid, MARKS["raylet"]):
        raylet.kill()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1, said
    assert "Ray's process on this machine died; what was committed is safe, run the same command to go on" in said
    assert "Traceback" not in said
    wait_until_gone(process.pid, MARKS["decoder child"], CHILD_GONE_S)
    assert not (tmp_path / "out/lease.json").exists() and not (tmp_path / "out/manifest.json").exists()

    assert "done before" in finish("loop", pipeline)
    assert deliverable(tmp_path / "out") == whole_of(300)
    accounts.add("kill -9 of the raylet", "the run ends with a hint, the next one goes on", tmp_path / "out")

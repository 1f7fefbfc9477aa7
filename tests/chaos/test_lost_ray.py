"""One of Ray's own processes dies: the run says what to do and ends, before Ray ends it without a word."""

from __future__ import annotations

import pytest

from .processes import CHILD_GONE_S, MARKS, processes_of, wait_until_gone

pytestmark = [pytest.mark.long, pytest.mark.ray, pytest.mark.timeout(280)]


@pytest.mark.parametrize(
    ("lost", "hint"),
    [
        ("raylet", "Ray's process on this machine died"),
        ("head", "the head of the Ray cluster does not answer any more"),
    ],
)
def test_a_lost_process_of_rays_ends_the_run_with_a_hint_and_the_next_one_goes_on(
    start, finish, pipeline, whole_of, tmp_path, wait_for_a_commit, deliverable, accounts, lost, hint
):
    process = start("ray", pipeline)
    wait_for_a_commit(process, tmp_path / "out")
    for victim in processes_of(process.pid, MARKS[lost]):
        victim.kill()
    said = process.communicate(timeout=100)[1]
    assert process.returncode == 1, said
    assert f"{hint}; what was committed is safe, run the same command to go on" in said
    assert "Traceback" not in said
    wait_until_gone(process.pid, MARKS["decoder child"], CHILD_GONE_S)
    assert not (tmp_path / "out/lease.json").exists() and not (tmp_path / "out/manifest.json").exists()

    assert "done before" in finish("loop", pipeline)
    assert deliverable(tmp_path / "out") == whole_of(300)
    accounts.add(f"kill -9 of the {lost}", "the run ends with a hint, the next one goes on", tmp_path / "out")

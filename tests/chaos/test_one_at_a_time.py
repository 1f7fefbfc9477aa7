"""Two runs that are started on one output at once: one works, the other is refused, and nothing is mixed."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.timeout(280)]


def test_of_two_runs_on_one_output_one_is_refused(start, pipeline, whole_of, tmp_path, deliverable, accounts):
    both = [start("loop", pipeline) for _ in range(2)]
    said = [process.communicate(timeout=200)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], said
    refused = next(text for text, process in zip(said, both, strict=True) if process.returncode)
    assert "another run" in refused and "wait for it, stop it, or choose another folder" in refused
    assert "Traceback" not in refused
    assert deliverable(tmp_path / "out") == whole_of(300)
    accounts.add("two runs on one output", "the second is refused", tmp_path / "out")

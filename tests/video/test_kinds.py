"""The kinds of error that the room knows are those that the contract lists."""

from __future__ import annotations

import re

from recap.video.reader import MEMORY_LIMIT, TRUNCATED
from recap.video.sandbox.strike import CPU_LIMIT, CRASHED, TIMEOUT


def test_every_kind_stands_in_the_contract_under_its_stage(home):
    contract = (home / "schemas/CONTRACT.md").read_text()
    listed = {stage: set(re.findall(r"`(\w+)`", row)) for stage, row in re.findall(r"\| `(\w+)` \| (.*) \|", contract)}
    source = "\n".join(path.read_text() for path in (home / "recap/video").rglob("*.py"))
    raised = re.findall(r'ClipError\("(\w+)", "(\w+)"', source)
    assert {stage: {kind for where, kind in raised if where == stage} for stage in ("probe", "decode")} == {
        "probe": listed["probe"],
        "decode": listed["decode"] - {TRUNCATED},
    }
    assert all(f"`{kind}`" in contract for kind in (CPU_LIMIT, CRASHED, MEMORY_LIMIT, TIMEOUT))

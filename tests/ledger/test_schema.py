from __future__ import annotations

from recap import ledger


def test_reserved_column_names_are_those_of_records_and_of_the_snapshot():
    assert {"caption", "ordinal", "status", "source_version", "state", "error_kind"} <= ledger.RESERVED
    assert "score" not in ledger.RESERVED

from __future__ import annotations

import pytest

from recap import ledger


def test_reserved_column_names_are_refused():
    with pytest.raises(ValueError, match="caption"):
        ledger.refuse_reserved(["score", "caption"])
    ledger.refuse_reserved(["score"])

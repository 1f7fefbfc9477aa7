from __future__ import annotations

import pytest

from recap.records import Caption
from recap.review import Context, Draft


@pytest.fixture
def context() -> Context:
    """No prompt, the default settings."""
    return Context()


@pytest.fixture
def draft():
    """From a text to what checks look at."""

    def make(text: str, **columns) -> Draft:
        return Draft(Caption("dense", text, **columns))

    return make

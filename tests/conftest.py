from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")

HOME = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def home() -> Path:
    """The repository's own folder."""
    return HOME


@pytest.fixture(scope="session")
def ray_session():
    """One small local Ray for all tests that need one."""
    import ray

    from recap.graph.ray_graph import ray_session

    with ray_session(None):
        yield ray

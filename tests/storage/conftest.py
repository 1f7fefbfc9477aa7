"""An S3 server on this machine, and a troublesome proxy before it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from itertools import count

import pytest

from recap.pipeline import load_pipeline
from recap.storage import location
from recap.storage.address import SCHEMES

from .proxy import Proxy

_BUCKETS = count()


@pytest.fixture(scope="session")
def moto():
    """The port of a server that lives as long as the tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/moto-api/data.json")
        yield port
    finally:
        server.kill()
        server.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            return urllib.request.urlopen(url).close()
        except OSError:
            assert time.monotonic() < deadline, "moto does not answer"
            time.sleep(0.05)


@pytest.fixture(scope="session")
def proxy(moto):
    """One proxy for all tests: the workers of Ray are told of it when their session begins."""
    with Proxy(moto) as proxy:
        proxy.point_here(os.environ["AWS_CONFIG_FILE"])
        yield proxy
    os.unlink(os.environ["AWS_CONFIG_FILE"])


@pytest.fixture
def bucket(proxy):
    """An empty bucket, as a location."""
    proxy.behave()
    home = location(f"s3://bucket-{os.getpid()}-{next(_BUCKETS)}")
    home.fs.mkdir(home.path.rstrip("/"))
    yield home
    proxy.behave()


@pytest.fixture
def hasty(monkeypatch):
    """A store is asked twice, not for minutes."""
    options = SCHEMES["s3"] | {"config_kwargs": {"retries": {"mode": "standard", "total_max_attempts": 2}}}
    monkeypatch.setitem(SCHEMES, "s3", options)
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setattr("recap.storage.fetching.PAUSE_S", 0.01)


@pytest.fixture
def stored(bucket, corpus):
    """The clips of `corpus` in the bucket."""
    for clip in sorted(corpus.iterdir()):
        put(bucket / "clips" / clip.name, clip.read_bytes())
    return bucket / "clips"


@pytest.fixture
def pipeline(tmp_path, bucket, stored):
    """A function that gives the pipeline from the bucket to the bucket, with overrides."""
    path = tmp_path / "stored.yaml"
    path.write_text(
        f"corpus: {{path: '{stored}'}}\n"
        "engine: {kind: rehearsal, max_new_tokens: 12, batch_size: 1}\n"
        f"output: {{path: '{bucket / 'out'}', rows_per_shard: 4}}\n"
        f"decode: {{fetch_folder: '{tmp_path / 'fetched'}'}}\n"
    )
    return lambda *overrides: load_pipeline(path, overrides)


def put(path, data: bytes) -> None:
    """Write an object."""
    path.fs.pipe_file(path.path, data)

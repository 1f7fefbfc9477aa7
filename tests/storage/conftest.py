"""A server of either store on this machine, and a troublesome proxy before it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from itertools import count
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from recap.pipeline import load_pipeline
from recap.storage import address, location

from .proxy import Proxy

_BUCKETS = count()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


# Ray's workers keep the environment that their session began with.
os.environ["STORAGE_EMULATOR_HOST"] = f"http://127.0.0.1:{_free_port()}"
# Else it asks another service, which has no emulator, what sort of bucket it is.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


@pytest.fixture(scope="session", params=["s3", pytest.param("gs", marks=pytest.mark.gs)])
def scheme(request) -> str:
    """Of the store."""
    return request.param


@pytest.fixture(scope="session")
def moto():
    """The port of an S3 server that lives as long as the tests."""
    port = _free_port()
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
def google():
    """The port of a server of Google's store that lives as long as the tests."""
    from .google import Google

    with Google(_free_port()) as google:
        yield google.server_port


@pytest.fixture(scope="session")
def proxy(request, scheme):
    """One proxy for all tests of a store: the workers of Ray are told of it when their session begins."""
    if scheme == "gs":
        with Proxy(request.getfixturevalue("google"), urlsplit(os.environ["STORAGE_EMULATOR_HOST"]).port) as proxy:
            yield proxy
        return
    with Proxy(request.getfixturevalue("moto")) as proxy:
        proxy.point_here(os.environ["AWS_CONFIG_FILE"])
        yield proxy
    os.unlink(os.environ["AWS_CONFIG_FILE"])


@pytest.fixture
def bucket(proxy, scheme):
    """An empty bucket, as a location."""
    proxy.behave()
    home = location(f"{scheme}://bucket-{os.getpid()}-{next(_BUCKETS)}")
    home.fs.mkdir(home.path.rstrip("/"))
    yield home
    proxy.behave()


@pytest.fixture
def hasty(monkeypatch, scheme):
    """A store is asked for seconds, not for minutes."""
    monkeypatch.setattr("recap.storage.fetching.PAUSE_S", 0.01)
    monkeypatch.setitem(address.SILENCE_S, "read", 1)
    if scheme == "gs":
        monkeypatch.setattr("gcsfs.retry.random", SimpleNamespace(random=lambda: -100.0))  # what its pauses begin with
        return
    config = {"retries": {"mode": "standard", "total_max_attempts": 2}, "read_timeout": 1}
    monkeypatch.setitem(address.SCHEMES, "s3", lambda: {"config_kwargs": config})
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)


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

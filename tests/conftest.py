from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pickle import dumps, loads

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
# Ray's workers keep the environment that their session began with: where the S3 server is stands in a file.
os.environ["AWS_CONFIG_FILE"] = os.path.join(tempfile.gettempdir(), f"recap-test-aws-{os.getpid()}")
os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
os.environ.pop("AWS_ENDPOINT_URL", None)

HOME = Path(__file__).parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side, a file's tests stay together, and so do all that share the one Ray session."""
    for item in items:
        shares = "ray_session" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("ray" if shares else item.path.as_posix()))


@pytest.fixture(scope="session")
def home() -> Path:
    """The repository's own folder."""
    return HOME


@pytest.fixture(scope="session")
def golden(home) -> Path:
    """What the reference implementation returned, with its tiny checkpoints."""
    return home / "tests" / "golden"


@pytest.fixture(scope="session")
def ray_session():
    """One small local Ray for all tests that need one."""
    import ray

    from recap.graph.session import ray_session

    with ray_session(None):
        yield ray


@pytest.fixture(scope="session")
def deliverable():
    """A function from an output folder to the bytes that a user gets, by relative path."""

    def read(output: Path) -> dict[str, bytes]:
        files = [output / "manifest.json", *(path for path in (output / "shards").rglob("*") if path.is_file())]
        return {path.relative_to(output).as_posix(): path.read_bytes() for path in files}

    return read


@pytest.fixture(scope="session")
def wait_for():
    """A function that waits until what it is given answers yes, for some seconds."""

    def wait_for(happened: Callable[[], object], seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not happened() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert happened()

    return wait_for


@pytest.fixture
def make_truncated(home):
    """Writes a clip that breaks off in its middle."""
    import av

    def make(path: Path) -> None:
        with av.open(str(home / "pipelines/demo/clips/cockatoo.mp4")) as source, av.open(str(path), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])

    return make


@pytest.fixture
def make_frames():
    """Frames of four coloured squares: a random tower sees plain noise as all the same."""
    from recap.records import Frames

    def make(seed: int, *, size: int = 8, count: int = 4, windows: int = 1) -> Frames:
        colours = np.random.default_rng(seed).integers(0, 256, (windows * count, 2, 2, 3), np.uint8)
        pixels = colours.repeat(size // 2, axis=1).repeat(size // 2, axis=2)
        return Frames(pixels, tuple(range(count)), 1.0, 64, 48, 25.0, float(count), "h264", "decord")

    return make


@pytest.fixture
def corpus(tmp_path, home):
    """Six small clips in a folder of their own."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for clip in sorted((home / "pipelines/demo/clips/shapes").iterdir())[:6]:
        shutil.copy(clip, folder)
    return folder


@pytest.fixture(scope="session")
def write_tar():
    """Writes a tar of files with some contents, by their names."""

    def write(path: Path, files: Mapping[str, bytes], mode: str = "w", format: int = tarfile.PAX_FORMAT) -> None:
        with tarfile.open(path, mode, format=format) as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))

    return write


@pytest.fixture
def rehearsal(tmp_path, corpus):
    """A function that gives the pipeline over `corpus` without a model, with overrides."""
    from recap.pipeline import load_pipeline

    path = tmp_path / "pipeline.yaml"
    path.write_text(
        f"corpus: {{path: {corpus}}}\n"
        "engine: {kind: rehearsal, max_new_tokens: 12}\n"
        f"output: {{path: {tmp_path / 'out'}, rows_per_shard: 4}}\n"
    )
    return lambda *overrides: load_pipeline(path, overrides)


class Elsewhere(ThreadPoolExecutor):
    """As other processes would: what they are given and give is pickled."""

    calls = 0

    def submit(self, function, /, *arguments):
        self.calls += 1
        packed = dumps((function, arguments))

        def run():
            function, arguments = loads(packed)
            return loads(dumps(function(*arguments)))

        return super().submit(run)


@pytest.fixture
def elsewhere():
    """An executor of three workers that share nothing with the test."""
    with Elsewhere(3) as executor:
        yield executor

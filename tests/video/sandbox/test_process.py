"""What a child may do, and that it does not outlive the process that started it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from recap.records import FrameRequest, Frames
from recap.video import DecodeSettings, SandboxedReader
from recap.video.sandbox import child
from tests.decoders import children

from .test_reader import SABOTEUR

OWNER = """
import json, sys, time
from recap.records import FrameRequest
from recap.video import DecodeSettings, SandboxedReader
reader = SandboxedReader(DecodeSettings(), json.loads(sys.argv[1]))
for path in sys.argv[2:]:
    reader.read(path, FrameRequest(count=2, size=32))
    print(reader._child.pid, flush=True)
time.sleep(1000)
"""
CONFINED = """
import json, os, resource, socket, sys
from recap.video.sandbox.confine import confine
offline = confine(1000)
with socket.socket() as caller:
    reached = caller.connect_ex(("127.0.0.1", int(sys.argv[1]))) == 0
file = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)
written = [os.pwrite(file, bytes(600), 0), os.pwrite(file, bytes(600), 600)]
core = resource.getrlimit(resource.RLIMIT_CORE)
print(json.dumps({"offline": offline, "reached": reached, "written": written, "core": core}))
"""

ALREADY_LIMITED = """
import resource
from recap.video.sandbox.confine import MemoryLimit, confine
limits = {resource.RLIMIT_FSIZE: 500, resource.RLIMIT_AS: 2**36}
for limit, most in limits.items():
    resource.setrlimit(limit, (most, most))
confine(1000)
assert MemoryLimit(2**40).limit < 2**36
assert all(resource.getrlimit(limit) == (most, most) for limit, most in limits.items())
"""


def is_alive(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize("names", [["healthy"], ["healthy", "decode-hang"]], ids=["idle", "hanging"])
def test_a_child_dies_with_its_parent(clips, tmp_path, wait_for, names):
    paths = [shutil.copy(clips / "h264.mp4", tmp_path / f"{name}.mp4") for name in names]
    command = [sys.executable, "-c", OWNER, json.dumps(SABOTEUR), *paths]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child = int(owner.stdout.readline())
    if "decode-hang" in names:
        wait_for((tmp_path / "decode-hang.done").exists)
    assert is_alive(child)
    owner.kill()
    owner.communicate()
    wait_for(lambda: not is_alive(child))


def test_a_child_outlives_the_thread_that_started_it(clips):
    reader, request = SandboxedReader(DecodeSettings()), FrameRequest(count=2, size=32)
    read = threading.Thread(target=reader.read, args=(str(clips / "h264.mp4"), request))
    read.start(), read.join()
    (child,) = children()
    reader.read(str(clips / "h264.mp4"), request)
    assert children() == [child]
    reader.close()
    assert not children()


def test_a_forgotten_reader_takes_its_child_along(clips):
    reader = SandboxedReader(DecodeSettings())
    reader.read(str(clips / "h264.mp4"), FrameRequest(count=2, size=32))
    assert len(children()) == 1
    del reader
    assert not children()


def test_a_child_holds_no_secrets_and_nothing_of_ours(clips, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "open sesame")
    with open(tmp_path / "ours", "w") as ours, closing(SandboxedReader(DecodeSettings())) as reader:
        os.set_inheritable(ours.fileno(), True)
        reader.read(str(clips / "h264.mp4"), FrameRequest(count=2, size=32))
        proc = Path("/proc") / str(children()[0].pid)
        held = {os.readlink(link) for link in (proc / "fd").iterdir()}
        assert held and ours.name not in held and "sesame" not in (proc / "environ").read_text()
        assert "decord" in (proc / "maps").read_text() and "torch" not in (proc / "maps").read_text()


def test_what_a_confined_process_is_denied(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        command = [sys.executable, "-c", CONFINED, port, str(tmp_path / "file")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    denied = json.loads(done.stdout)
    assert denied["reached"] is not denied["offline"], "the network is either out of reach or said to be in reach"
    assert (denied["written"], denied["core"]) == ([600, 400], [0, 0])


def test_a_clip_that_came_out_whole_is_believed_when_memory_was_short():
    def doubtful(decoder, flags=()):
        return child._is_doubtful(Frames(np.zeros(0), (), 1.0, 8, 8, 25.0, 1.0, "h264", decoder, flags))

    assert not any(map(doubtful, ("pyav-sparse", "pyav-sparse-fast", "decord", "decord-fast")))
    assert doubtful("pyav") and doubtful("pyav-fast") and doubtful("decord", ("damaged",))


def test_limits_that_are_set_already_are_kept():
    subprocess.run([sys.executable, "-c", ALREADY_LIMITED], check=True)


def test_what_a_whole_group_is_asked_to_do_is_no_fault_of_a_clip(home):
    clip = str(home / "pipelines/demo/clips/cockatoo.mp4")
    with closing(SandboxedReader(DecodeSettings())) as reader:
        reader.read(clip, FrameRequest(count=2, size=32))
        pid = reader._child.pid
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(pid, number)
        reader.read(clip, FrameRequest(count=2, size=32))
        assert reader._child.pid == pid

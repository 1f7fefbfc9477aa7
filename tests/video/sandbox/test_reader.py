"""What a file does to its reader, and what is said of the file."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from recap.records import ClipError, FrameRequest
from recap.video import DecodeSettings, InProcessReader, SandboxedReader
from recap.video.sandbox import reader as module
from tests.decoders import children

SABOTEUR = (sys.executable, "-P", str(Path(__file__).with_name("saboteur.py")))
REQUEST = FrameRequest(size=96)
FACTS = {"width": 128, "height": 96, "fps": 25.0, "duration_s": 1.6, "codec": "h264", "flags": ()}


@pytest.fixture
def sandbox():
    """A sandboxed reader with the settings given, whose child misbehaves when a file's name says so."""
    readers = []

    def open_(command=SABOTEUR, **settings) -> SandboxedReader:
        readers.append(SandboxedReader(DecodeSettings(**settings), command))
        return readers[-1]

    yield open_
    for reader in readers:
        reader.close()
    assert not children()


@pytest.fixture
def told(clips, tmp_path):
    """A healthy clip under a name that tells the saboteur what to do."""
    return lambda name: str(shutil.copy(clips / "h264.mp4", tmp_path / f"{name}.mp4"))


def refusal(reader, path) -> ClipError:
    with pytest.raises(ClipError) as caught:
        reader.read(path, REQUEST)
    assert path not in caught.value.message and not any(letter.isdigit() for letter in caught.value.message)
    return caught.value


@pytest.mark.parametrize("name", ["h264.mp4", "stream.ts", "variable.mp4", "six.mp4"])
def test_frames_are_those_of_the_reader_inside(clips, name):
    with_span = {"start_s": 0.1, "end_s": 1.5}
    request = FrameRequest(count=6, size=64, view="wide", tiles=(3, 1))
    reader = SandboxedReader(DecodeSettings())
    for settings in ({}, with_span):
        there = reader.read(str(clips / name), request, **settings)
        here = InProcessReader(DecodeSettings()).read(str(clips / name), request, **settings)
        assert np.array_equal(there.pixels, here.pixels) and there.pixels.flags.writeable
        for field in set(here.__slots__) - {"pixels"}:
            assert getattr(there, field) == getattr(here, field)
    reader.close()


def test_a_refusal_is_that_of_the_reader_inside(clips, sandbox):
    reader = sandbox()
    for name in ("truncated.mp4", "sound.mp4", "none.mp4"):
        error = refusal_of(reader, clips / name)
        assert error == refusal_of(InProcessReader(DecodeSettings()), clips / name)
    assert len(children()) == 1


def refusal_of(reader, path) -> tuple:
    with pytest.raises(ClipError) as caught:
        reader.read(str(path), REQUEST)
    error = caught.value
    return error.stage, error.kind, error.message, error.facts


@pytest.mark.parametrize(
    "deed, kind, words, settings",
    [
        ("segfault", "crashed", "SIGSEGV", {}),
        ("abort", "crashed", "SIGABRT", {}),
        ("chatty", "crashed", "SIGSEGV", {}),
        ("nonsense", "crashed", "an answer that makes no sense", {}),
        ("hang", "timeout", "decode.timeout_s", {"timeout_s": 3}),
        ("burn", "cpu_limit", "core-seconds", {"timeout_s": 3}),
        ("allocate", "memory_limit", "decode.memory_gb", {"memory_gb": 0.5}),
        ("bad_alloc", "memory_limit", "decode.memory_gb", {"memory_gb": 0.5}),
    ],
)
def test_what_kills_the_decoder_is_charged_to_the_file(sandbox, told, deed, kind, words, settings):
    reader = sandbox(**settings)
    error = refusal(reader, told(f"decode-{deed}"))
    assert (error.stage, error.kind, error.facts) == ("decode", kind, FACTS)
    assert words in error.message and "decod" in error.message
    assert not children(), "a child that was struck stayed"
    assert reader.read(told("healthy"), REQUEST).flags == ()


def test_an_honest_clip_without_the_memory_for_it_is_not_called_damaged(home):
    reader = SandboxedReader(DecodeSettings(memory_gb=0.02))
    error = refusal(reader, str(home / "pipelines/demo/clips/phone-vfr-1080p.mp4"))
    assert (error.stage, error.kind, error.facts["width"]) == ("decode", "memory_limit", 1920)


@pytest.mark.parametrize("deed", ["segfault", "allocate"])
def test_a_death_while_probing_says_so(sandbox, told, deed):
    error = refusal(sandbox(memory_gb=0.5), told(f"probe-{deed}"))
    assert error.stage == "probe" and error.facts == {} and "probing" in error.message


def test_the_header_is_known_when_the_first_frame_kills(sandbox, told):
    error = refusal(sandbox(), told("frame-segfault"))
    assert error.stage == "probe" and error.facts == {k: v for k, v in FACTS.items() if k != "flags"}


@pytest.mark.parametrize("deed", ["segfault", "killed", "hang"])
def test_one_death_is_forgiven_and_the_frames_are_the_same(sandbox, told, clips, deed):
    frames = sandbox(timeout_s=3).read(told(f"decode-{deed}-once"), REQUEST)
    whole = InProcessReader(DecodeSettings()).read(str(clips / "h264.mp4"), REQUEST)
    assert np.array_equal(frames.pixels, whole.pixels) and frames.decoder == "pyav-sparse"


def test_the_cpu_limit_counts_each_clip_alone(sandbox, told, monkeypatch):
    monkeypatch.setattr(module, "CLIPS_PER_CHILD", 10**6)  # on a fast machine 300 of these take less
    reader, path = sandbox(timeout_s=3), told("healthy")
    reader.read(path, REQUEST)
    (child,) = children()
    while sum(child.cpu_times()[:2]) < 1.5 * reader.settings.cpu_s:
        reader.read(path, REQUEST)
    assert children() == [child]


def test_a_child_serves_many_clips_and_not_for_ever(sandbox, told, monkeypatch):
    monkeypatch.setattr(module, "CLIPS_PER_CHILD", 3)
    reader, seen = sandbox(), []
    for _ in range(5):
        reader.read(told("healthy"), REQUEST)
        seen += [child.pid for child in children()]
    assert len(seen) == 4 and len(set(seen)) == 2


def test_a_child_that_cannot_start_is_no_files_fault(sandbox, told):
    missing = sandbox(command=(sys.executable, "-P", "-m", "recap.video.sandbox.nobody"))
    with pytest.raises(RuntimeError, match=r"cannot be started.*No module named recap.video.sandbox.nobody"):
        missing.read(told("healthy"), REQUEST)
    with pytest.raises(RuntimeError, match=r"cannot be started.*Segmentation fault"):
        sandbox(command=(sys.executable, "-X", "faulthandler", *SABOTEUR[1:], "segfault")).read(told("h"), REQUEST)
    with pytest.raises(RuntimeError, match=r"cannot be started.*No such file"):
        sandbox(command=("/nowhere/python",)).read(told("healthy"), REQUEST)


def test_an_interrupted_clip_is_not_taken_for_the_next(sandbox, told, clips):
    reader = sandbox()
    reader.read(told("healthy"), REQUEST)
    previous = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    with pytest.raises(KeyboardInterrupt):
        reader.read(told("decode-sleep"), REQUEST)
    signal.signal(signal.SIGALRM, previous)
    assert not children()
    assert reader.read(str(clips / "six.mp4"), REQUEST).flags == ("repeated_frames",)


def test_nothing_is_left_open(sandbox, told):
    def held() -> tuple[set[str], set[str]]:
        return set(os.listdir("/proc/self/fd")), set(os.listdir("/dev/shm"))

    reader, before = sandbox(), held()
    with pytest.raises(ClipError):
        reader.read(told("decode-segfault"), REQUEST)
    reader.read(told("healthy"), REQUEST)
    reader.close()
    with pytest.raises(RuntimeError):
        sandbox(command=("/nowhere/python",)).read(told("healthy"), REQUEST)
    assert held() == before and not children()

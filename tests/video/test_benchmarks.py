"""The room's benchmarks run, and their figures are what they say."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import av
import numpy as np
import pytest


@pytest.mark.parametrize("script, limit", [("frames_fast.py", "--repeats=1"), ("sandbox.py", "--rounds=1")])
def test_the_last_line_is_one_object(home, clips, script, limit):
    files = [str(home / "pipelines/demo/clips/realshort.mp4"), str(clips / "h264.mp4")]
    command = [sys.executable, str(home / "benchmarks" / script), "--json", limit, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout.splitlines()[-1])["clips"]
    assert [row["clip"] for row in rows] == ["realshort.mp4", "h264.mp4"]
    assert all(value > 0 for row in rows for name, value in row.items() if name.endswith("_s"))


def test_ways_of_decoding_stand_side_by_side(home, clips):
    command = [sys.executable, str(home / "benchmarks/decode.py"), "--json", "--rounds=1"]
    done = subprocess.run([*command, str(clips / "long.mp4")], capture_output=True, text=True, check=True)
    rows = {row["way"]: row for row in json.loads(done.stdout.splitlines()[-1])["clips"]}
    assert set(rows) - {"ffmpeg"} == {"decord", "pyav", "exact", "fast"}
    assert rows["decord"]["ratio"] == 1 and rows["exact"]["decoder"] == "pyav-sparse"
    for row in rows.values():
        assert row["clips_per_s_per_core"] == pytest.approx(1 / row["core_s"], rel=0.1)
        assert row["psnr_worst_db"] is None or row["psnr_worst_db"] > 34
    assert rows["exact"]["psnr_mean_db"] is rows["decord"]["psnr_mean_db"] is None


def test_the_clips_of_the_benchmark_are_what_they_say(home, tmp_path):
    command = [sys.executable, str(home / "benchmarks/decode.py"), "--json", "--rounds=1", "--frames=20"]
    command += [f"--clips={tmp_path}", "--only=1080p-h264-short"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (name,) = {row["clip"] for row in json.loads(done.stdout.splitlines()[-1])["clips"]}
    assert name == "1080p-h264-short-20.mp4"
    with av.open(str(tmp_path / name)) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert len(keys) == 20 and [at for at, key in enumerate(keys) if key] == [0, 15]


def test_what_the_loop_filter_is_worth_is_told_by_depth(home, tmp_path):
    command = [sys.executable, str(home / "benchmarks/loop_filter.py"), "--json", "--frames=20", "--crf=30"]
    command += ["--codecs=h264", f"--clips={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    without, between = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert (without["b_frames"], between["b_frames"]) == (0, 3)
    assert without["worst_psnr_db"].keys() == {"1-16", "17-32"} and between["worst_psnr_db"].keys() == {"1-16"}
    assert 34 < without["worst_psnr_db"]["17-32"] < without["worst_psnr_db"]["1-16"] < 50


def test_likeness_falls_with_noise(home):
    spec = importlib.util.spec_from_file_location("frames_fast", home / "benchmarks/frames_fast.py")
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    noise = np.random.default_rng(1)
    pixels = noise.integers(50, 200, (2, 20, 28, 3), np.uint8)
    assert bench.ssim(pixels, pixels) == pytest.approx(1) and bench.psnr_db(pixels, pixels) is None
    assert bench.psnr_db(pixels, pixels + np.uint8(10)) == pytest.approx(28.13, abs=0.01)
    assert bench.ssim(pixels, noise.permutation(pixels.ravel()).reshape(pixels.shape)) < 0.3
    assert 0.9 < bench.ssim(pixels, pixels + np.uint8(10)) < 1

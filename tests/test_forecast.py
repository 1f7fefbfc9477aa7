from __future__ import annotations

import errno
import io
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from recap.engines import RehearsalEngine
from recap.engines.front import RehearsalFront
from recap.forecast import RAY_START_S, Forecast, Probe, _clip_bytes, forecast, foresee, project
from recap.graph import calibration
from recap.graph.sizing import Machine
from recap.records import ClipError
from recap.report.plan import print_forecast
from recap.storage import Fetcher
from recap.timing import Calibration

PROBE = Probe(np.array([1.0, 2.0, 3.0]), np.array([90, 100, 110]), Calibration(3, 6.0, 3.0, 6.0), 2.0, 4000.0)


def shown(foreseen) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_forecast(foreseen, console)
    return console.file.getvalue()


def test_clips_are_probed_and_nothing_is_written(rehearsal, tmp_path):
    foreseen = forecast(rehearsal(), 1000, probe=3)
    assert (foreseen.clips, foreseen.probed, foreseen.gpu_hours) == (1000, 3, (0, 0, 0))
    least, expected, most = foreseen.seconds
    assert RAY_START_S < least < expected < most
    assert expected == pytest.approx(1000 / foreseen.clips_per_s, abs=RAY_START_S + 60)
    assert foreseen.read_bytes > 1000 * 1000 and foreseen.written_bytes > 1000 * 100
    assert not (tmp_path / "out").exists()


def test_spans_of_a_file_share_it_and_an_object_is_fetched_for_each():
    scanned = pa.table({"uri": ["a", "a", "b", "a"], "source_version": ["90-1", "90-1", "50-2", "90-1"]})
    assert _clip_bytes(scanned.slice(1, 2), scanned, are_fetched=False) == (30 + 50) / 2
    assert _clip_bytes(scanned.slice(1, 2), scanned, are_fetched=True) == (90 + 50) / 2


def test_the_bottleneck_is_named_with_the_cores_that_would_mend_it(rehearsal):
    many, few = (project(rehearsal("engine.actors=1"), PROBE, Machine(cores, 0), 100, 10.0) for cores in (64, 1))
    assert (many.bound_by, few.bound_by) == ("engine", "CPU cores, mostly decoding")
    assert many.decode_cores == few.decode_cores == pytest.approx(1.0)
    assert many.read_bytes == 1000 and many.written_bytes == 400_000
    assert few.seconds[1] > many.seconds[1] > RAY_START_S + 2.0 + 100 * 2.0


def test_gpu_hours_and_their_cost_follow_the_expected_time(rehearsal):
    pipeline = rehearsal("ray.price_per_gpu_hour=2.5")
    pipeline = replace(pipeline, engine=replace(pipeline.engine, actors=1, gpus_per_actor=0.5))
    foreseen = project(pipeline, PROBE, Machine(64, 1), 1000, 10.0)
    least, expected, most = foreseen.seconds
    assert foreseen.gpu_hours == pytest.approx((least / 7200, expected / 7200, most / 7200))
    assert foreseen.cost == pytest.approx([2.5 * hours for hours in foreseen.gpu_hours])
    costs = " to ".join(f"{foreseen.cost[at]:.2f}" for at in (0, 2))
    assert "GPU-hours" in shown(foreseen) and f"{foreseen.cost[1]:.2f}, from {costs}" in shown(foreseen)


def spread(foreseen) -> float:
    least, expected, most = foreseen.seconds
    assert least < expected < most
    return (most - least) / expected


def test_few_clips_make_the_interval_wide_and_a_start_has_one_too(rehearsal):
    """Of clips that cost the same."""
    pipeline = rehearsal("engine.actors=1")
    probes = [replace(PROBE, decode_core_s=np.full(n, 2.0), output_tokens=np.full(n, 100)) for n in (1, 8, 64)]
    wide, usual, narrow = (spread(project(pipeline, probe, Machine(2, 0), 10**6, 10.0)) for probe in probes)
    assert wide > 2 * usual > 2 * narrow > 0.5
    assert spread(project(pipeline, probes[-1], Machine(2, 0), 1, 10.0)) > 0.8


def test_what_cannot_be_foreseen_is_said(rehearsal, corpus):
    assert foresee(rehearsal(), 0, 8) == "no clip is to be captioned"
    assert foresee(rehearsal(), 5, 0) == "nothing was probed"
    for path in corpus.glob("*.mp4"):
        path.write_bytes(b"no video")
    assert "none of the 6 clips that were probed can be decoded" in shown(foresee(rehearsal(), 6, 8))


def test_a_full_temporary_folder_leaves_no_forecast(rehearsal, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("recap.forecast._probe", full)
    assert "No space left on device (TMPDIR is " in shown(foresee(rehearsal(), 6, 2))


def test_all_clips_of_a_probe_are_measured_together(rehearsal, monkeypatch):
    monkeypatch.setattr(calibration, "MOST_S", 0.0)  # what a run may spend on it
    found = []
    monkeypatch.setattr("recap.forecast.project", lambda _, probe, *__: found.append(probe))
    forecast(rehearsal(), 1000, probe=3)
    assert found[0].engine.clips == 3


def test_what_a_run_would_refuse_is_refused_before_weights_are_fetched(rehearsal, monkeypatch):
    monkeypatch.setattr("recap.engines.fetch", lambda *_, **__: pytest.fail("fetched"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert "need 4 GPUs, and Ray finds 0" in foresee(rehearsal("engine.gpus_per_actor=2", "engine.actors=2"), 10, 3)
    hub = rehearsal("engine.kind=transformers", "engine.gpus_per_actor=1", "model.checkpoint=ermu2001/pllava-34b")
    assert "needs a GPU with about 75 GB" in foresee(hub, 10, 3)
    hub = replace(hub, ray=replace(hub.ray, address="ray-head:6379"))
    assert "plan on a node of the cluster; engine.gpus_per_actor 1" in foresee(hub, 10, 3)


def test_a_cluster_is_joined_and_its_machines_are_counted(rehearsal, monkeypatch):
    asked = []
    monkeypatch.setattr("recap.forecast.joined", lambda pipeline: asked.append(pipeline.ray.address) or nullcontext())
    monkeypatch.setattr("recap.forecast.machine_of", lambda _: Machine(640, 8))
    monkeypatch.setattr("recap.forecast._probe", lambda *_: PROBE)
    foreseen = forecast(rehearsal("ray.address=ray-head:6379", "engine.actors=8"), 100_000, probe=3)
    assert asked == ["ray-head:6379"] and foreseen.machine.cpus == 640
    alone = forecast(rehearsal("engine.actors=1"), 100_000, probe=3)
    assert foreseen.clips_per_s == pytest.approx(8 * alone.clips_per_s)
    assert "640 CPUs, 8 GPUs" in shown(foreseen)


def test_an_engine_that_fails_leaves_no_forecast(rehearsal, monkeypatch):
    def step(_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(RehearsalEngine, "step", step)
    assert foresee(rehearsal(), 10, 3) == "the engine failed on the clips that were probed: out of memory"


@pytest.mark.parametrize("probe", (1, 2))
def test_a_single_clip_and_two_have_a_forecast(rehearsal, probe):
    least, expected, most = forecast(rehearsal(), 1, probe=probe).seconds
    assert 0 < least <= expected <= most < np.inf


def test_a_first_clip_that_cannot_be_fetched_is_one_among_others(rehearsal, monkeypatch):
    fetch, refused = Fetcher.local, []

    @contextmanager
    def gone_at_first(fetcher, address):
        refused.append(address)
        if address == refused[0]:
            raise ClipError("fetch", "missing_file", "it is gone")
        with fetch(fetcher, address) as path:
            yield path

    monkeypatch.setattr(Fetcher, "local", gone_at_first)
    assert forecast(rehearsal(), 10, probe=3).probed == 3


def test_clips_that_no_model_takes_have_no_forecast(rehearsal, monkeypatch):
    monkeypatch.setattr(
        RehearsalFront, "requests", lambda _, clips: [ClipError("caption", "refused", "no")] * len(clips)
    )
    assert "none of the 3 clips that were probed can be captioned" in foresee(rehearsal(), 10, 3)


def test_captions_without_a_word_have_a_forecast(rehearsal):
    silent = replace(PROBE, output_tokens=np.zeros(3))
    assert project(rehearsal("engine.actors=1"), silent, Machine(2, 0), 100, 10.0).seconds[2] < np.inf


def test_a_forecast_is_shown_with_its_interval(rehearsal):
    text = shown(
        Forecast(1, 8, Machine(2, 0), (60.0, 3661.0, 7322.0), 1.5, "engine", 0.1, 0.4, (0, 0, 0), None, 2_000_000, 3000)
    )
    assert (
        "forecast for  2 CPUs, after 8 clips" in text
        and "1.50 clips/s, bound by engine" in text
        and "1:01:01, from 0:01:00 to 2:02:02" in text
    )
    assert "2.0 MB" in text and "GPU" not in text

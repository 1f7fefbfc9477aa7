"""What a run would take: a few clips of the corpus go the whole way here, into a folder that is thrown away."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recap import engines, ledger, shards
from recap.cluster import joined, machine_of
from recap.corpus import corpus_root
from recap.graph.plan import WorkPlan
from recap.graph.sizing import Machine
from recap.graph.stages import CaptionStage, DecodeStage
from recap.pipeline import Pipeline
from recap.planning import Listing, check_machine, list_corpus
from recap.prepared import Prepared, prepare
from recap.records import Clip, ClipError
from recap.report.speed import engines_apart, narrowest
from recap.storage import is_store, resolved, scratch
from recap.timing import Calibration
from recap.translation import TranslationSettings

RAY_START_S = 16.0  # Python, a local Ray session, its workers, and ending them; opening the model is not in it
STARTS = np.array((0.7, 1.0, 1.6))  # of the usual start: best, usual, worst
REACHED = (1.0, 0.85, 0.7)  # of the ceiling, by runs of more than a few minutes
RESAMPLES, PERCENTILES = 400, (95, 50, 5)
UNSEEN = 0.5  # by how much clips may differ (of the logarithm) where but one was seen; of n, an nth of that

Interval = tuple[float, float, float]  # the least, the expected and the most


@dataclass(frozen=True)
class Probe:
    """What clips cost alone: core-seconds of decoding each, output tokens of each, and an engine's time for them."""

    decode_core_s: np.ndarray
    output_tokens: np.ndarray
    engine: Calibration
    opening_s: float
    written_bytes: float


@dataclass(frozen=True)
class Forecast:
    """What captioning `clips` more takes on `machine`.

    `clip_core_s` is what a clip takes of the cores, `decode_cores` how many cores of decoding keep the engines
    busy. Bytes are of all the clips. GPU-hours and `cost` are 0 where the engines hold no GPU; `cost` is None
    without `ray.price_per_gpu_hour`. Translating into `languages` comes on top.
    """

    clips: int
    probed: int
    machine: Machine
    seconds: Interval
    clips_per_s: float
    bound_by: str
    clip_core_s: float
    decode_cores: float
    gpu_hours: Interval
    cost: Interval | None
    read_bytes: int
    written_bytes: int
    languages: tuple[str, ...] = ()


def foresee(pipeline: Pipeline, clips: int, probe: int, listing: Listing | None = None) -> Forecast | str:
    """`forecast`, or why there is none."""
    if not probe or not clips:
        return "nothing was probed" if clips else "no clip is to be captioned"
    try:
        return forecast(pipeline, clips, listing, probe=probe)
    except ValueError as error:
        return str(error)
    except (RuntimeError, MemoryError) as error:
        return f"the engine failed on the clips that were probed: {error}"
    except OSError as error:
        return f"the clips to probe could not be handled: {error} (TMPDIR is {tempfile.gettempdir()})"


def forecast(pipeline: Pipeline, clips: int, listing: Listing | None = None, *, probe: int) -> Forecast:
    """What `clips` clips like `probe` ones, spread over the corpus, would take where the pipeline runs.

    Raises ValueError where it cannot, where this machine cannot caption, or none of the clips can be captioned.
    """
    scanned = _checked(pipeline, listing)
    with joined(pipeline):
        machine = machine_of(pipeline)
    places = np.unique(np.linspace(0, len(scanned) - 1, min(probe, len(scanned))).round().astype(int))
    chosen = pa.concat_tables([scanned.slice(place, 1) for place in places.tolist()])
    with scratch("recap-plan-") as folder:
        here = replace(pipeline, output=replace(pipeline.output, path=str(folder)), translation=TranslationSettings())
        prepared = prepare(here)
        found = _probe(prepared, chosen)
    actors = prepared.actors(machine, clips)
    pipeline = replace(pipeline, engine=replace(pipeline.engine, actors=actors))
    clip_bytes = _clip_bytes(chosen, scanned, are_fetched=is_store(corpus_root(pipeline.corpus)))
    return project(pipeline, found, machine, clips, clip_bytes)


def _checked(pipeline: Pipeline, listing: Listing | None) -> pa.Table:
    """The scanned corpus. What a cluster's nodes must have this machine must have as well."""
    check_machine(pipeline)
    lacking = engines.problems(pipeline.model, pipeline.prompt, pipeline.engine, on_cluster=False)
    if lacking:
        raise ValueError(f"this machine captions the clips to probe: plan on a node of the cluster; {lacking[0]}")
    return (listing or list_corpus(pipeline)).clips


def _probe(prepared: Prepared, chosen: pa.Table) -> Probe:
    pipeline, plan = prepared.pipeline, prepared.plan(epoch=1)
    output = Path(pipeline.output.path)
    snapshot, _ = ledger.update_snapshot(output, chosen)
    clips = list(snapshot.clips(snapshot.present, resolved(corpus_root(pipeline.corpus))))
    decode_core_s, engine, opening_s = _caption(plan, clips)
    committed = ledger.Committed(snapshot, plan.fragments)
    tokens = [row["captions"] for batch in committed.batches() for row in batch.to_pylist()]
    videos = shards.Videos(corpus_root(pipeline.corpus), snapshot)
    _, written = shards.write_generation(output, committed.batches(), pipeline.output, videos)
    return Probe(
        np.array(decode_core_s),
        np.array([sum(caption["output_tokens"] for caption in captions) for captions in tokens if captions]),
        engine,
        opening_s,
        sum(shard.bytes for shard in written) / len(clips),
    )


def _caption(plan: WorkPlan, clips: list[Clip]) -> tuple[list[float], Calibration, float]:
    """Core-seconds of each decoding, the engine alone, and the seconds until it was open."""
    start = time.monotonic()
    with (
        closing(CaptionStage(plan, "probe", keep=len(clips))) as caption,
        closing(DecodeStage(plan)) as decode,
        asyncio.Runner() as runner,
    ):
        decode.decode(clips[0])  # starts the decoder's process
        opening_s = time.monotonic() - start
        pairs, decoded_at = [], [_decoding_core_s(decode)]
        for clip in clips:
            frames = decode.decode(clip)
            if frames is None:
                raise ValueError(f"nothing is to be seen of the folder of {clip.uri} any more: is the corpus mounted?")
            pairs.append((clip, frames))
            decoded_at.append(_decoding_core_s(decode))
        if all(isinstance(frames, ClipError) for _, frames in pairs):
            raise ValueError(f"none of the {len(pairs)} clips that were probed can be decoded: {pairs[0][1]}")
        runner.run(caption.caption(pairs))
        if not caption.timing.counts["clips"]:
            raise ValueError(f"none of the {len(pairs)} clips that were probed can be captioned by this model")
        runner.run(caption.calibrate(len(pairs)))
        calibrations = caption.calibrations
    if not calibrations:
        raise ValueError("the engine failed at its second look at the clips that were probed")
    return list(np.diff(decoded_at)), calibrations[0], opening_s


def _decoding_core_s(decode: DecodeStage) -> float:
    return decode.spent().core_seconds.get("decoding", 0.0)  # a clip may not even be fetched


def project(pipeline: Pipeline, probe: Probe, machine: Machine, clips: int, clip_bytes: float) -> Forecast:
    """From what some clips cost to what `clips` of `clip_bytes` each will; the number of actors is known."""
    assert pipeline.engine.actors != "auto"
    actors, decode_core_s = pipeline.engine.actors, float(probe.decode_core_s.mean())
    apart = engines_apart(actors, pipeline.engine.gpus_per_actor)
    paces = np.percentile(_paces(probe, machine, apart), PERCENTILES) * REACHED
    seconds = STARTS * (RAY_START_S + probe.opening_s) + clips / paces
    gpu_hours, price = actors * pipeline.engine.gpus_per_actor * seconds / 3600, pipeline.ray.price_per_gpu_hour
    return Forecast(
        clips=clips,
        probed=len(probe.decode_core_s),
        machine=machine,
        seconds=tuple(seconds.tolist()),
        clips_per_s=float(paces[1]),
        bound_by=narrowest(machine, apart, probe.engine, decode_core_s)[0],
        clip_core_s=probe.engine.clip_core_s + decode_core_s,
        decode_cores=apart / probe.engine.clip_s * decode_core_s,
        gpu_hours=tuple(gpu_hours.tolist()),
        cost=None if price is None else tuple((price * gpu_hours).tolist()),
        read_bytes=round(clip_bytes * clips),
        written_bytes=round(probe.written_bytes * clips),
        languages=pipeline.translation.languages,
    )


def _paces(probe: Probe, machine: Machine, apart: int) -> list[float]:
    """Clips/s at the ceiling, were the corpus like one drawing of the probed clips or another."""
    chance, paces = np.random.default_rng(0), []
    steps = probe.output_tokens + 1  # a caption may be empty
    for _ in range(RESAMPLES):
        decode = _drawn(probe.decode_core_s, chance)
        longer = _drawn(steps, chance) / steps.mean()
        engine = replace(
            probe.engine, seconds=probe.engine.seconds * longer, core_seconds=probe.engine.core_seconds * longer
        )
        paces.append(narrowest(machine, apart, engine, decode)[1])
    return paces


def _drawn(costs: np.ndarray, chance: np.random.Generator) -> float:
    return float(chance.choice(costs, len(costs)).mean() * chance.lognormal(0, UNSEEN / len(costs)))


def _clip_bytes(chosen: pa.Table, scanned: pa.Table, *, are_fetched: bool) -> float:
    """What is read for a clip, as source versions tell: spans share a file, but an object is fetched for each."""
    clips_of = Counter()
    if not are_fetched:
        is_same = pc.is_in(scanned["uri"], chosen["uri"].combine_chunks())
        clips_of.update(scanned["uri"].filter(is_same).to_pylist())
    sizes = (version.split("-")[0] for version in chosen["source_version"].to_pylist())
    read = zip(sizes, chosen["uri"].to_pylist(), strict=True)
    return sum(int(size) / max(1, clips_of[uri]) for size, uri in read if size.isdigit()) / len(chosen)

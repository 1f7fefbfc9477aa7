"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console

from recap.report.listing import pace, print_listing

if TYPE_CHECKING:
    from recap.jobs import Summary
    from recap.report.speed import Ceiling, Pool, SpeedAccount

SHOWN = 0.005


def print_summary(summary: Summary, console: Console) -> None:
    """Counts, reasons, speed and where the shards are."""
    print_listing(_rows(summary), console)


def _speed(speed: SpeedAccount) -> Iterator[tuple[str, str]]:
    for name in ("planning", "starting", "calibrating", "working", "translating", "finishing"):
        if seconds := getattr(speed, f"{name}_s"):
            yield f"  {name}", f"{seconds:.1f}"
    if not speed.pools:
        return
    yield "clips/s", pace(speed.clips_per_s)
    yield from _ceiling(speed.ceiling)
    yield "tokens/s", f"{speed.prompt_tokens_per_s:.0f} prompt, {speed.output_tokens_per_s:.0f} output"
    if speed.clips_per_gpu_hour_held and speed.clips_per_gpu_hour_provisioned:
        held, provisioned = speed.clips_per_gpu_hour_held, speed.clips_per_gpu_hour_provisioned
        yield "clips per GPU-hour", f"{held:.0f} held, {provisioned:.0f} provisioned"
    for name, pool in speed.pools.items():
        yield f"{name} pool", f"{pool.busy:.0%} busy: " + ", ".join(_shares(pool))


def _ceiling(ceiling: Ceiling | None) -> Iterator[tuple[str, str]]:
    if ceiling is None:
        yield "  ceiling", "not measured: too few clips to fill the engine once more, or not all are done"
        return
    whose = " (the run's own pace: it was calibrated to be slower)" if ceiling.is_own_pace else ""
    yield "  ceiling", f"{pace(ceiling.clips_per_s)}{whose}, bound by {ceiling.bound_by}"
    yield "  reached", f"{ceiling.share:.0%}"


def _shares(pool: Pool) -> Iterator[str]:
    for name, share in pool.shares.items():
        if share >= SHOWN:
            yield f"{name.replace('_', ' ')} {share:.0%}"


def _rows(summary: Summary) -> Iterator[tuple[str, Any]]:
    yield "clips", summary.clips
    yield "captioned", summary.captioned
    if summary.captioned_now != summary.captioned:
        yield "  in this run", summary.captioned_now
    yield "quarantined", summary.quarantined
    for reason, number in summary.reasons.items():
        yield f"  {reason}", number
    yield "filtered", summary.filtered
    yield "remaining", summary.remaining
    for language, clips in summary.translated.items():
        yield f"in {language}", clips
    if summary.vanished:
        yield "vanished", summary.vanished
    yield from _flags(summary.flags)
    yield "seconds", f"{summary.seconds:.1f}"
    if summary.speed:
        yield from _speed(summary.speed)
    for kind in dict.fromkeys(shard["kind"] for shard in summary.shards):
        yield kind, f"{summary.output}/shards/{summary.generation}/{kind}"


def _flags(flags: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, str]]:
    if any(flags.values()):
        yield "flags", _counted(*(sum(flags[when].values()) for when in ("before", "after")))
    for flag in sorted({*flags["before"], *flags["after"]}):
        yield f"  {flag}", _counted(*(flags[when].get(flag, 0) for when in ("before", "after")))


def _counted(before: int, after: int) -> str:
    return f"{after}" if before == after else f"{after}, before repair {before}"

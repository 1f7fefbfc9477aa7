"""From a clip's address to its model-size frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from recap.records import ClipError, FrameRequest, Frames
from recap.video.decode import decode
from recap.video.nvdec import Nvdec
from recap.video.pictures import Pictures
from recap.video.probe import Probe, inspect
from recap.video.scaling import decoder_scaling
from recap.video.settings import DecodeSettings
from recap.video.span import Span, is_variable, span_indices
from recap.video.timeline import Timeline
from recap.video.truncation import missing
from recap.video.view import coverage, window_count

DAMAGED, HDR, REPEATED, TRUNCATED, VARIABLE_RATE = "damaged", "hdr", "repeated_frames", "truncated", "variable_rate"
MEMORY_LIMIT = "memory_limit"
OnFacts = Callable[[dict[str, Any]], None]


def stage_of(facts: Mapping[str, Any]) -> str:
    """`probe` or `decode`: how far a reader has come that has learnt `facts` of a file."""
    return "decode" if "flags" in facts else "probe"


class Reader(Protocol):
    """Anything that turns an address into frames."""

    core_s: float
    """Core-seconds that processes beside this one have taken for it."""

    def read(
        self,
        location: str,
        request: FrameRequest,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> Frames:
        """The frames of one clip; raises nothing but ClipError."""

    def close(self) -> None:
        """Let go of whatever the reader holds."""


class InProcessReader:
    """Decodes in the calling process: for trusted files, tests, and inside a sandbox.

    `on_facts` is told of what a file says about itself as soon as it is known. Raises ValueError where
    settings ask for a decoder chip that is not there.
    """

    core_s = 0.0

    def __init__(self, settings: DecodeSettings, on_facts: OnFacts | None = None):
        self.settings, self.on_facts = settings, on_facts
        self.chip = Nvdec() if settings.hardware == "nvdec" else None

    def read(
        self,
        location: str,
        request: FrameRequest,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> Frames:
        """`request.count` frames of the span `start_s`..`end_s`, in seconds after the first frame.

        With `request.tiles` of (columns, rows) the view sees pictures of columns·rows consecutive
        moments each, row by row: `pixels` is (windows·count/tiles, size, size, 3), `coverage` that of
        the whole grid, and `times_s` still holds every moment. `count` must divide by columns·rows.

        Flags: `truncated`, `variable_rate`, `hdr` (not tone-mapped), `damaged` (frames could not be decoded, or
        two claim one moment), `repeated_frames` (the span has fewer than asked for). Raises ClipError of stage
        `probe` (see `probe`) or `decode`: truncated, no_frames, empty_span, damaged, decoder_error;
        of either: memory_limit.
        """
        columns, rows = request.tiles
        assert request.count % (columns * rows) == 0, "the last picture would have empty tiles"
        window_count(request.view)  # a view that does not exist is no fault of the file's
        known: dict[str, Any] = {}
        try:
            return self._read(location, request, (start_s, end_s), known)
        except ClipError as error:
            raise ClipError(error.stage, error.kind, error.message, known | error.facts) from error
        except MemoryError as error:
            text = "reading the file takes more memory than there is"
            raise ClipError(stage_of(known), MEMORY_LIMIT, text, known) from error
        except Exception as error:
            text = f"the decoder failed with {type(error).__name__}"
            raise ClipError("decode", "decoder_error", text, known) from error

    def close(self) -> None:
        """Nothing is held between clips."""

    def _read(self, location: str, request: FrameRequest, span: Span, known: dict[str, Any]) -> Frames:
        def learn(**facts: Any) -> None:
            known.update(facts)
            if self.on_facts:
                self.on_facts(facts)

        probe, timeline = inspect(location, lambda header: learn(**header.stated))
        flags = self._judge(location, probe, timeline)
        if TRUNCATED in flags:
            probe = replace(probe, duration_s=round(timeline.length_s(probe.fps), 6))
        learn(**probe.facts, flags=tuple(flags))
        indices = span_indices(timeline, probe.fps, request.count, span)
        shown = sorted(set(indices))
        places = [shown.index(index) for index in indices]
        fast = self.settings.decoder == "fast"
        scaling = decoder_scaling(probe.width, probe.height, request) if fast else None
        pictures = Pictures(places, request, scaling)
        times, decoder, damaged = decode(location, probe, timeline, shown, self.settings, pictures, self.chip)
        flags += [DAMAGED] * (damaged or timeline.stutters)
        flags += [REPEATED] * (len(shown) < request.count)
        columns, rows = request.tiles
        return Frames(
            pixels=pictures.pixels,
            times_s=tuple(round(times[place], 6) for place in places),
            coverage=coverage(columns * probe.width, rows * probe.height, request.view, request.size),
            decoder=decoder,
            flags=tuple(flags),
            **probe.facts,
        )

    def _judge(self, path: str, probe: Probe, timeline: Timeline) -> list[str]:
        if not len(timeline):
            raise ClipError("decode", "no_frames", "the file's video stream is empty")
        part = missing(path, probe, timeline)
        if part and self.settings.truncated == "quarantine":
            raise ClipError("decode", TRUNCATED, f"the file breaks off: it holds {part}")
        shape = [TRUNCATED] if part else [VARIABLE_RATE] * is_variable(timeline, probe.fps)
        return shape + [HDR] * probe.hdr

"""What a file says about itself, before its frames are decoded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from recap.records import ClipError
from recap.video.container import MAX_PIXELS, FirstFrame, is_mirrored, open_video, packets_in, refused_size, turns_of
from recap.video.pyav_decoder import shown_ticks
from recap.video.riff import is_whole
from recap.video.timeline import Timeline, read_timeline

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Elsewhere FFmpeg makes up a duration from what it finds, which a truncated file cannot miss.
DECLARES_DURATION = {"matroska", "flv"}
RAW = {"h264", "hevc"}  # which have no clock
HDR = {16, 18}  # transfer curves, PQ and HLG (ITU-T H.273)
FASTEST = 300  # frames a second; streams of a varying rate state the ticks of their clock, thousands a second


@dataclass(frozen=True, slots=True)
class Probe:
    """A file's facts: size in pixels once upright, `frames` shown, quarter `turns` to put it upright, `mirrored` first.

    `hdr`: they are bright by a curve that screens of standard range do not have. `declared_frames` and `declared_s`
    are what the header promises, None where it promises nothing.
    """

    container: str
    codec: str
    width: int
    height: int
    fps: float
    frames: int
    duration_s: float
    turns: int
    has_audio: bool
    declared_frames: int | None = None
    declared_s: float | None = None
    mirrored: bool = False
    hdr: bool = False

    @property
    def facts(self) -> dict:
        """The part of a record that a file's own header answers."""
        return {name: getattr(self, name) for name in ("width", "height", "fps", "duration_s", "codec")}

    @property
    def stated(self) -> dict:
        """`facts` without what is left open."""
        return {name: value for name, value in self.facts.items() if value}


OnHeader = Callable[[Probe], None]


def probe(path: str) -> Probe:
    """Read the headers of the file at `path` and its first frame, and scan it where they count no frames.

    Raises ClipError of stage `probe`; see `container.open_video` for the kinds.
    """
    import av

    with open_video(path) as (container, stream):
        header, first = read_header(container, stream), FirstFrame(stream)
        _check_size(header)
        with suppress(av.error.FFmpegError):
            for packet in packets_in(container, stream):
                first.look(packet)
                if first.frame:
                    break
    seen = _seen(header, first.frame, path)
    return seen if seen.frames and seen.duration_s else inspect(path)[0]


def inspect(path: str, on_header: OnHeader | None = None) -> tuple[Probe, Timeline]:
    """The facts of the file at `path` and the moments of its frames, all counted; errors as `probe`.

    `on_header` is told what the header says, before any frame is decoded.
    """
    with open_video(path) as (container, stream):
        header = read_header(container, stream)
        if on_header:
            on_header(header)
        _check_size(header)
        first = FirstFrame(stream)
        timeline = read_timeline(container, stream, header.fps, first.look)
    if len(timeline) and (first.is_halved or (timeline.counted and first.may_be_halved)):
        header, timeline = _by_frames(path, header, timeline)
    seen = _seen(header, first.frame, path)
    length = round(timeline.length_s(seen.fps), 6)
    return replace(seen, frames=len(timeline), duration_s=seen.duration_s or length), timeline


def read_header(container: InputContainer, stream: VideoStream) -> Probe:
    """What the header says; 0 for a number or length that it leaves open, and for `turns`."""
    name = _format(container)
    declared = _declared_frames(container, stream)
    return Probe(
        container=name,
        codec=stream.codec_context.codec.canonical_name,
        width=stream.width,
        height=stream.height,
        fps=float(_rate(stream, name)),
        frames=declared or 0,
        duration_s=_declared_length_s(stream) if declared else 0.0,
        turns=0,
        has_audio=bool(container.streams.audio),
        declared_frames=declared,
        declared_s=container.duration / 1e6 if container.duration and _states_duration(container) else None,
    )


def _by_frames(path: str, header: Probe, timeline: Timeline) -> tuple[Probe, Timeline]:
    """Both, where packets are fields, by the frames that come out: all of them are decoded."""
    shown = shown_ticks(path)
    if len(shown) == len(timeline):
        return header, timeline
    pts = np.arange(len(shown)) if timeline.counted else np.array(sorted(shown), np.int64)
    framed = replace(timeline, pts=pts, coded=None)
    declared = header.declared_frames and header.declared_frames * len(framed) // timeline.slots
    counts_fields = 1.5 * len(framed) < header.fps * framed.length_s(header.fps)
    return replace(header, declared_frames=declared, fps=header.fps / (1 + counts_fields)), framed


def _seen(header: Probe, frame: VideoFrame | None, path: str) -> Probe:
    """`header` with the size of an upright `frame` and how it is turned. Raises ClipError too_large, no_size."""
    if frame is None:
        return _require_size(header, path)
    turns = turns_of(frame)
    width, height = _upright(frame, turns)
    turned = {"width": width, "height": height, "turns": turns, "mirrored": is_mirrored(frame)}
    return replace(header, **turned, hdr=frame.color_trc in HDR)


def _check_size(header: Probe) -> None:
    if header.width * header.height > MAX_PIXELS:
        raise _too_large(f"{header.width}x{header.height}")


def _require_size(header: Probe, path: str) -> Probe:
    if header.width and header.height:
        return header
    if size := refused_size(path):
        raise _too_large(size)
    raise ClipError("probe", "no_size", "neither the header nor a frame says how large the pictures are")


def _too_large(size: str) -> ClipError:
    limit = f"{MAX_PIXELS / 1e6:.0f} megapixels"
    return ClipError("probe", "too_large", f"frames of {size} pixels are over the limit of {limit}")


def _upright(frame: VideoFrame, turns: int) -> tuple[int, int]:
    size = frame.width, frame.height
    return size[::-1] if turns % 2 else size


def _format(container: InputContainer) -> str:
    return container.format.name.split(",")[0]


def _rate(stream: VideoStream, container: str) -> Fraction | int:
    """Frames a second. FFmpeg takes all raw streams to have 25, whatever their parameters say."""
    stated = stream.codec_context.framerate if container in RAW else None
    if stated and stated <= FASTEST:
        return stated
    return stream.average_rate or stream.guessed_rate or stream.base_rate or 25


def _declared_frames(container: InputContainer, stream: VideoStream) -> int | None:
    name = _format(container)
    if name == "mov" and stream.frames:
        # `stream.frames` also counts what an edit list cuts away; a sample without bytes shows nothing new.
        return sum(entry.size > 0 for entry in stream.index_entries)
    if name == "avi" and stream.frames:
        return min(stream.frames, _indexed_slots(stream)) if is_whole(container.name) else stream.frames
    return None


def _indexed_slots(stream: VideoStream) -> int:
    """Frames that an AVI has room for, without the empty chunks at its end, which let the last picture stay."""
    return stream.index_entries[-1].timestamp + 1 if len(stream.index_entries) else stream.frames


def _states_duration(container: InputContainer) -> bool:
    # Where FFmpeg reckons a length from the bit rate, it gives it to every stream.
    return _format(container) in DECLARES_DURATION and any(it.duration is None for it in container.streams)


def _declared_length_s(stream: VideoStream) -> float:
    return round(float((stream.duration or 0) * stream.time_base), 6)

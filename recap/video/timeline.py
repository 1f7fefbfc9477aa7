"""When each frame of a file is shown, from its packets, without decoding any."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from recap.video.container import packets_in

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# Codecs whose times FFmpeg guesses in ASF, from those at which packets are decoded.
GUESSED = {"h264", "mpeg4"}
LONGEST = 2**53  # ticks; up to it seconds are exact in float64, and a clock of nanoseconds reaches 104 days


@dataclass(frozen=True, slots=True)
class Coded:
    """A video's packets in the order in which they are decoded: `pts` of each, and whether it is one of
    the `keys`, at which decoding can begin. `steady`: the decoder's parameters never change."""

    pts: np.ndarray
    keys: np.ndarray
    steady: bool = True


@dataclass(frozen=True, slots=True)
class Timeline:
    """The moments of a file's frames, in the order they are shown.

    `pts` counts `time_base` seconds; `hidden` frames are there but cut away by an edit list;
    `start_s` and `end_s` are where the first packet of any stream is decoded or shown and the last ends, on the
    file's own clock. `counted`: the file stamps no true times, so `pts` numbers frames as they come, with
    gaps where it says that it left some out, and `coded` is None.
    """

    pts: np.ndarray
    time_base: Fraction
    hidden: int
    start_s: float
    end_s: float
    counted: bool = False
    coded: Coded | None = None

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def slots(self) -> int:
        """Frames that the file has room for: with those that it says it left out, where it counts."""
        return int(self.pts[-1]) + 1 if self.counted and len(self) else len(self)

    @property
    def times_s(self) -> np.ndarray:
        """Seconds after the first frame, float64."""
        return (self.pts - self.pts[:1]) * float(self.time_base)

    @property
    def stutters(self) -> bool:
        """Whether two frames claim the same moment, as in a file that is damaged inside."""
        return bool((np.diff(self.pts) <= 0).any())

    def length_s(self, fps: float) -> float:
        """Seconds from the first frame to the end of the last, 0 if there is none."""
        return float(self.times_s[-1]) + 1 / fps if len(self) else 0.0


def read_timeline(
    container: InputContainer, stream: VideoStream, fps: float, look: Callable[[Packet], None]
) -> Timeline:
    """Scan all packets of a freshly opened `container`, each of which `look` is shown; a read error ends the scan.

    AVI's times are guesses, wrong around B-frames, so its frames are counted, in the slots that it has for them.
    So are those of GUESSED in ASF, a frame late, with one twice: only the times of decoding can be believed.
    """
    import av

    packets = _Packets(stream.index, 1 / fps)
    with suppress(av.error.FFmpegError):
        for packet in packets_in(container):
            packets.add(packet)
            look(packet)
    span = (packets.start_s or 0.0, packets.end_s)
    if not packets.are_timed or container.format.name == "avi":
        clock = 1 / (Fraction(fps).limit_denominator(100_000) or Fraction(fps))
        ticks = packets.numbers if container.format.name == "avi" else np.arange(len(packets.shown))
        return Timeline(ticks, clock, packets.hidden, *span, counted=True)
    if container.format.name == "asf" and stream.codec_context.name in GUESSED:
        return Timeline(packets.decoded, stream.time_base, packets.hidden, *span, counted=True)
    pts = np.array(sorted(packets.shown), np.int64)
    return Timeline(pts, stream.time_base, packets.hidden, *span, coded=packets.coded)


class _Packets:
    def __init__(self, index: int, frame_s: float):
        self.index, self.frame_s = index, frame_s
        self.shown: list[int | None] = []
        self.hidden = 0
        self.start_s: float | None = None
        self.end_s = 0.0
        self._pts: list[int | None] = []
        self._dts: list[int | None] = []
        self._keys: list[bool] = []
        self._steady = True

    @property
    def are_timed(self) -> bool:
        """Whether all that are shown say when, on a clock that can be one."""
        return None not in self.shown and (not self.shown or max(self.shown) - min(self.shown) < LONGEST)

    @property
    def coded(self) -> Coded | None:
        if None in self._pts:
            return None
        return Coded(np.array(self._pts, np.int64), np.array(self._keys, bool), self._steady)

    @property
    def decoded(self) -> np.ndarray:
        """When packets are decoded, in order; where some do not say, when they are shown."""
        return np.array(sorted(self.shown if None in self._dts else self._dts), np.int64)

    @property
    def numbers(self) -> np.ndarray:
        """Numbers of the frames in the order in which they are shown, as AVI has them."""
        if None not in self._dts and len(self._dts) == len(self.shown):
            numbers = np.array(self._dts, np.int64)
            if numbers.min(initial=0) >= 0 and (np.diff(numbers) > 0).all():
                return numbers
        return np.arange(len(self.shown))

    def add(self, packet: Packet) -> None:
        if not packet.size:
            return
        is_picture = packet.stream_index == self.index
        if packet.pts is not None:
            self._stretch(packet, self.frame_s if is_picture else 0.0)
        if is_picture:
            self._add_picture(packet)

    def _stretch(self, packet: Packet, usual_s: float) -> None:
        tick_s = float(packet.time_base)
        start_s = tick_s * (packet.pts if packet.dts is None else min(packet.pts, packet.dts))
        self.start_s = start_s if self.start_s is None else min(start_s, self.start_s)
        self.end_s = max(self.end_s, tick_s * packet.pts + (tick_s * packet.duration if packet.duration else usual_s))

    def _add_picture(self, packet: Packet) -> None:
        self._pts.append(packet.pts)
        self._dts.append(packet.dts)
        self._keys.append(packet.is_keyframe)
        self._steady &= not packet.has_sidedata("new_extradata")
        if packet.is_discard:
            self.hidden += 1
        else:
            self.shown.append(packet.pts)

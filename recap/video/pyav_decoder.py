"""Frames by time with PyAV: from the first packet to the last one wanted, stepping over damage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from recap.video.container import open_video, packets_in
from recap.video.timeline import Timeline
from recap.video.upright import Size, upright_pixels

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.video.frame import VideoFrame


class PyavDecoder:
    """One pass over a file. Afterwards `damaged` says whether packets or wanted frames were bad.

    Upright frames are shrunk to `size` (width, height) if it is given.
    """

    def __init__(self, path: str, timeline: Timeline, size: Size | None = None, accelerator: HWAccel | None = None):
        self.path, self.timeline, self.size, self.accelerator = path, timeline, size, accelerator
        self.damaged = False

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[float, np.ndarray]]:
        """(time in seconds, (H, W, 3) uint8 RGB, upright) for each of the ascending `indices`.

        A frame that is missing is replaced by the one shown before it, whose time is given, and the
        file counts as damaged. Yields nothing if no frame decodes. Raises ClipError like `probe`.
        """
        origin = int(self.timeline.pts[0])
        for tick, frame in self._shown_at([int(self.timeline.pts[index]) for index in indices]):
            yield (tick - origin) * float(self.timeline.time_base), upright_pixels(frame, self.size)

    def _shown_at(self, ticks: list[int]) -> Iterator[tuple[int, VideoFrame]]:
        held, at = None, 0
        for tick, frame in self._decoded():
            while at < len(ticks) and ticks[at] <= tick:
                exact = ticks[at] == tick
                self.damaged |= not exact
                yield (tick, frame) if exact or held is None else held
                at += 1
            if at == len(ticks):
                return
            held = tick, frame
        self.damaged = True
        for _ in ticks[at:] if held else ():
            yield held

    def _decoded(self) -> Iterator[tuple[int, VideoFrame]]:
        import av

        ticks, count = self.timeline.pts, 0
        with open_video(self.path, self.accelerator) as (container, stream):
            packets = packets_in(container, stream)
            while True:
                try:
                    frames = next(packets).decode()
                except StopIteration:
                    return
                except av.error.FFmpegError:
                    self.damaged = True
                    continue
                for frame in frames:
                    self.damaged |= frame.is_corrupt
                    if self.timeline.counted:
                        yield int(ticks[count] if count < len(ticks) else ticks[-1] + 1), frame
                    else:
                        yield frame.pts or 0, frame
                    count += 1


def shown_ticks(path: str) -> list[int]:
    """When each frame that comes out of the file at `path` is shown, 0 where it does not say; errors as `probe`."""
    import av

    ticks: list[int] = []
    with open_video(path) as (container, stream):
        for packet in packets_in(container, stream):
            with suppress(av.error.FFmpegError):
                ticks += [frame.pts or 0 for frame in packet.decode()]
    return ticks

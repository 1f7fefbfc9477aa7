"""Opening a file as a container of video, and telling apart the ways in which it is none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import numpy as np

from recap.records import ClipError
from recap.video.sniff import check_head, is_container

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

DELAYING = {"h264", "hevc"}  # whose decoders hold a frame back until it is sure that none is shown before it
TRIAL = 16  # packets behind the first frame, which show whether two make one
MAX_PIXELS = 2**26  # of a frame; 8K has half as many
# Sound formats are here so that they are told from files that are no media at all.
FORMATS = "mov,matroska,webm,avi,flv,ogg,gif,asf,mpegts,mpeg,h264,hevc,ivf,wav,mp3,flac,aac"

_REFUSED = re.compile(r"Picture size (\d+x\d+) is invalid")


@contextmanager
def open_video(
    path: str, accelerator: HWAccel | None = None, *, look: bool = True
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container at `path` and its best video stream, decoding on one thread, no frame over MAX_PIXELS.

    Frames stay with the `accelerator` that decodes them, if one is given. Without a `look` FFmpeg decodes no frame
    to learn what the header does not say.

    Raises ClipError: missing, not_a_file, unreadable, empty_file, playlist, not_a_video, broken_header,
    no_video_stream, unknown_codec.
    """
    import av

    path = os.path.abspath(path)  # an absolute path cannot be taken for a protocol
    head = check_head(path)
    options = {} if look else {"skip_frame": "all"}
    limits = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        container = av.open(path, options=options, container_options=limits, hwaccel=accelerator)
    except (av.error.FFmpegError, UnicodeError):
        raise _refusal(head) from None
    with container:
        yield container, _video_stream(container)


def packets_in(container: InputContainer, *streams: VideoStream) -> Iterator[Packet]:
    """What `container.demux` gives, without samples of no bytes, which show nothing new.

    Behind the last packet PyAV stumbles over a stream that turned up midway, as it was not there at the start.
    """
    with suppress(IndexError):
        for packet in container.demux(*streams):
            if packet.size or packet.dts is None:  # the latter has a decoder give out what it holds
                yield packet


class FirstFrame:
    """Of `stream`, the first one that decodes: None until `look` has seen the packets that it takes."""

    def __init__(self, stream: VideoStream):
        self.stream = stream
        self.frame: VideoFrame | None = None
        self._packets = self._frames = 0
        self._is_begun = False

    @property
    def may_be_halved(self) -> bool:
        """Whether its codec and its kind allow for packets of one field."""
        return self.frame is not None and self.frame.interlaced_frame and self.stream.codec_context.name == "h264"

    @property
    def is_halved(self) -> bool:
        """Whether fields seem to be packets of their own, two to a frame."""
        return 3 * self._frames < 2 * self._packets and self.may_be_halved

    def look(self, packet: Packet) -> None:
        """Decode it, if there is no frame yet, or it is to be seen what its packets hold; damage is passed over."""
        import av

        if packet.stream.index != self.stream.index:  # flush packets all have the stream_index 0
            return
        with suppress(av.error.FFmpegError):
            if self.frame is None:
                self.frame = next(iter(packet.decode()), None) or self._held_back(packet)
            elif self.may_be_halved and self._packets < TRIAL:
                self._packets += packet.size > 0
                self._frames += len(packet.decode())

    def _held_back(self, packet: Packet) -> VideoFrame | None:
        """Of the first `packet`, without decoding those behind it, unless they tell whether it is but a field."""
        context = self.stream.codec_context
        if self._is_begun or context.name not in DELAYING:
            return None
        self._is_begun = True
        frame = next(iter(self.stream.decode(None)), None)
        context.flush_buffers()
        if frame is None or frame.interlaced_frame:
            return next(iter(packet.decode()), None)
        return frame


def refused_size(path: str) -> str | None:
    """`WIDTHxHEIGHT` where the header's size is so large that FFmpeg drops it; it says so in its log alone."""
    import av

    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as lines, open_video(path):
            pass
    finally:
        av.logging.set_level(None)
    return next((found[1] for _, _, line in lines if (found := _REFUSED.match(line))), None)


def is_mirrored(frame: VideoFrame) -> bool:
    """Whether left and right of a frame are to be swapped before it is turned."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).tolist()
    return a * d < b * c


def turns_of(frame: VideoFrame) -> int:
    """Quarter turns, counter-clockwise, that put a frame upright: 0 to 3."""
    return (round(frame.rotation / 90) + 2 * is_mirrored(frame)) % 4


def _refusal(head: bytes) -> ClipError:
    if is_container(head):
        return ClipError("probe", "broken_header", "the container's header or index is missing or damaged")
    return ClipError("probe", "not_a_video", "the file is not a video in a container that can be read")


def _video_stream(container: InputContainer) -> VideoStream:
    from av.stream import Disposition

    stream = container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:
        raise ClipError("probe", "no_video_stream", "the file holds no video stream")
    if stream.codec_context is None:
        raise ClipError("probe", "unknown_codec", "the video stream's codec is unknown")
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream

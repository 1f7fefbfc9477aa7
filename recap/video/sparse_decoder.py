"""The wanted frames and what they refer to, as far as the codec tells, and nothing else, with PyAV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np

from recap.video.container import open_video, packets_in
from recap.video.failure import DecoderFailed
from recap.video.needed import Stretch, depth, entries_of, needed
from recap.video.probe import Probe
from recap.video.timeline import Coded, Timeline
from recap.video.upright import SHRUNK, Size, upright_pixels

if TYPE_CHECKING:
    from av.codec.context import CodecContext
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SPARING = frozenset({"h264", "hevc"})  # frames say whether others refer to them, and there is a loop filter to skip
CODECS = SPARING | {"vp8", "vp9", "av1", "mjpeg", "png", "prores"}
# Where the decoder's parameters stand in the header, so that decoding can begin at any key frame.
SEEKABLE = frozenset({"mov", "matroska", "flv"})
# Without the loop filter errors add up from frame to frame: after so many packets they are still small,
# and in H.264 as deep as this, where B-frames are as many as others.
UNFILTERED, UNFILTERED_DEPTH = 32, 64


def suits(probe: Probe, timeline: Timeline) -> bool:
    """Whether the file tells which packet holds which frame, in a codec that can begin at every key frame."""
    coded = timeline.coded
    if probe.codec not in CODECS or timeline.counted or coded is None or not coded.steady:
        return False
    return len(np.unique(coded.pts)) == len(coded.pts)


def sparse_frames(
    path: str,
    probe: Probe,
    timeline: Timeline,
    indices: Sequence[int],
    size: Size | None,
    accelerator: HWAccel | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """(time in seconds, (H, W, 3) uint8 RGB, upright) of each of the ascending `indices`.

    Without `size` the pixels are those of a decoder that decodes everything. With `size` frames are
    shrunk to it, and the loop filter is left out where that changes little and no `accelerator` decodes.
    Raises DecoderFailed for whatever is not as it should be, and ClipError like `probe`.
    """
    wanted, at = timeline.pts[list(indices)], 0
    stretches = _stretches(probe, timeline.coded, wanted)
    options = _shortcuts(probe, timeline.coded, stretches, size) if size and not accelerator else {}
    source = open_video(path, accelerator, look=bool(accelerator) or not _header_suffices(probe))
    for frame in _decoded(source, timeline.coded, stretches, wanted, options):
        if at < len(wanted) and frame.pts == wanted[at]:
            yield float(timeline.times_s[indices[at]]), upright_pixels(frame, size)
            at += 1
    if at < len(wanted):
        raise DecoderFailed(f"{len(wanted) - at} of {len(wanted)} wanted frames did not come out")


def _header_suffices(probe: Probe) -> bool:
    """Not H.264's, which need not say how far frames are reordered: FFmpeg sees that in the first ones."""
    return probe.container in SEEKABLE and probe.codec != "h264"


def _stretches(probe: Probe, coded: Coded, wanted: np.ndarray) -> list[Stretch]:
    entries = entries_of(coded, probe.codec) if probe.container in SEEKABLE else np.zeros(len(coded.pts), bool)
    return needed(coded, wanted, entries)


def _shortcuts(probe: Probe, coded: Coded, stretches: list[Stretch], size: Size) -> dict[str, str]:
    if probe.codec not in SPARING or probe.width < SHRUNK * size[0]:
        return {}
    small = all(_errors_stay_small(probe.codec, coded.pts[stretch.numbers]) for stretch in stretches)
    return {"skip_loop_filter": "all" if small else "bidir"}


def _errors_stay_small(codec: str, pts: np.ndarray) -> bool:
    deep = depth(pts)
    return len(pts) <= UNFILTERED or (codec == "h264" and deep <= UNFILTERED_DEPTH and 2 * deep <= len(pts))


def _decoded(
    source: AbstractContextManager[tuple[InputContainer, VideoStream]],
    coded: Coded,
    stretches: list[Stretch],
    wanted: np.ndarray,
    options: dict[str, str],
) -> Iterator[VideoFrame]:
    import av

    with source as (container, stream):
        stream.codec_context.options |= options
        packets = _packets(container, stream)
        try:
            for stretch in stretches:
                shown = _stretch(stream, packets, coded, stretch.numbers, wanted)
                yield from _begun_rightly(shown, coded, int(stretch.numbers[0]))
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError as error:
            raise DecoderFailed(str(error)) from error


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[tuple[int, Packet]]:
    return enumerate(packet for packet in packets_in(container, stream) if packet.size)


def _stretch(
    stream: VideoStream, packets: Iterator[tuple[int, Packet]], coded: Coded, numbers: np.ndarray, wanted: np.ndarray
) -> Iterator[VideoFrame]:
    context = stream.codec_context
    unwanted = "NONREF" if context.codec.canonical_name in SPARING and not _layered(context) else "DEFAULT"
    needed_packets, last = set(numbers.tolist()), numbers[-1]
    for number, packet in packets:
        if number not in needed_packets:
            continue
        if packet.pts != coded.pts[number]:
            raise DecoderFailed("the packets are not those of the first reading")
        context.skip_frame = "DEFAULT" if packet.pts in wanted else unwanted
        yield from packet.decode()
        if number == last:
            break
    yield from stream.decode(None)
    context.flush_buffers()


def _begun_rightly(frames: Iterator[VideoFrame], coded: Coded, first: int) -> Iterator[VideoFrame]:
    for number, frame in enumerate(frames):
        if not number and first and not (frame.key_frame and frame.pts == coded.pts[first]):
            raise DecoderFailed("decoding cannot begin at what the container calls a key frame")
        if frame.is_corrupt:
            raise DecoderFailed("a frame is damaged")
        yield frame


def _layered(context: CodecContext) -> bool:
    """Whether a frame that nobody refers to may be referred to after all, from a higher temporal layer."""
    if context.name != "hevc":
        return False
    header = context.extradata or b""  # ISO/IEC 14496-15, HEVCDecoderConfigurationRecord
    return len(header) < 23 or header[0] != 1 or header[21] >> 3 & 7 != 1

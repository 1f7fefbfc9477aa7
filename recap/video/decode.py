"""Which decoder reads a file, and when the other one is tried."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np

from recap.records import ClipError
from recap.video import decord_decoder, sparse_decoder
from recap.video.failure import DecoderFailed
from recap.video.nvdec import Nvdec
from recap.video.pictures import Pictures
from recap.video.probe import Probe
from recap.video.pyav_decoder import PyavDecoder
from recap.video.settings import DecodeSettings
from recap.video.timeline import Timeline
from recap.video.upright import Size


def decode(
    path: str,
    probe: Probe,
    timeline: Timeline,
    indices: Sequence[int],
    settings: DecodeSettings,
    pictures: Pictures,
    chip: Nvdec | None = None,
) -> tuple[list[float], str, bool]:
    """Hand the frames of `indices` (ascending, distinct), one by one, to `pictures`.

    Returns (times in seconds, decoder, damaged). The `chip` reads what it can, then the first decoder that
    suits the file, PyAV what no other suits and what they report an error on; `-fast` behind their names:
    it shrank the frames.
    Raises ClipError: decoder_error, no_frames, damaged.
    """
    size = pictures.scaling.frame if pictures.scaling else None
    ending = "-fast" if size else ""
    if chip:
        name, shots = chip.shots(path, probe, timeline, indices, size)
        with suppress(DecoderFailed):
            return pictures.take(shots), f"{name}{ending}", False
    name, shots = _first_choice(path, probe, timeline, indices, settings, size)
    if shots is not None:
        try:
            return pictures.take(shots), f"{name}{ending}", False
        except DecoderFailed:
            if not settings.fallback:
                raise ClipError("decode", "decoder_error", "the decoder cannot decode the file") from None
    decoder = PyavDecoder(path, timeline, size)
    times = pictures.take(decoder.frames(indices))
    _check(times, indices)
    return times, f"pyav{ending}", decoder.damaged


def _first_choice(
    path: str,
    probe: Probe,
    timeline: Timeline,
    indices: Sequence[int],
    settings: DecodeSettings,
    size: Size | None,
) -> tuple[str, Iterator[tuple[float, np.ndarray]] | None]:
    if sparse_decoder.suits(probe, timeline):
        return "pyav-sparse", sparse_decoder.sparse_frames(path, probe, timeline, indices, size)
    if decord_decoder.suits(probe, timeline):
        width, height = size or (probe.width, probe.height)
        batch = max(1, settings.batch_bytes // (3 * width * height))
        return "decord", decord_decoder.decord_frames(os.path.abspath(path), timeline, indices, batch, size)
    return "pyav", None


def _check(times: list[float], indices: Sequence[int]) -> None:
    if not times:
        raise ClipError("decode", "no_frames", "no frame of the file can be decoded")
    if 2 * len(set(times)) < len(indices):
        raise ClipError("decode", "damaged", "fewer than half of the wanted frames can be decoded")

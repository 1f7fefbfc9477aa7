"""What a decoder that shrinks frames is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from recap.records import FrameRequest
from recap.video.decord_decoder import readable_width
from recap.video.view import first_size


@dataclass(frozen=True, slots=True)
class Scaling:
    """Sizes (width, height) of upright pictures: each `frame` from the decoder, at least its share of
    the whole `picture` that the rest of the view goes on with."""

    frame: tuple[int, int]
    picture: tuple[int, int]


def decoder_scaling(width: int, height: int, request: FrameRequest) -> Scaling | None:
    """What takes the place of the view's first resize of frames of `width`×`height`.

    None where that step would not shrink them: enlarging early gains nothing.
    """
    columns, rows = request.tiles
    picture = first_size(columns * width, rows * height, request.view, request.size)
    frame = readable_width(-(-picture[0] // columns)), -(-picture[1] // rows)
    shrinks = frame[0] <= width and frame[1] <= height and frame != (width, height)
    return Scaling(frame, picture) if shrinks else None

"""Draws the demo's moving shapes: `python pipelines/demo/make_clips.py FOLDER` writes 21 small mp4 files."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import av
from PIL import Image, ImageDraw

WIDTH, HEIGHT, FRAMES = 192, 128, 36
COLOURS = ("red", "green", "blue", "yellow", "white", "purple", "orange")
SHAPES = ("circle", "square", "triangle")
MOTIONS = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1), "diagonal": (1, 1), "still": (0, 0)}


def main(folder: Path) -> None:
    """One clip for each colour and shape, the motions in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (colour, shape) in enumerate(product(COLOURS, SHAPES)):
        motion = list(MOTIONS)[number % len(MOTIONS)]
        write_clip(folder / f"{colour}-{shape}-{motion}.mp4", colour, shape, MOTIONS[motion])


def write_clip(path: Path, colour: str, shape: str, direction: tuple[int, int]) -> None:
    """36 frames of one shape that moves from one side of the picture's middle to the other."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "30", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FRAMES):
            picture = draw(colour, shape, direction, number / (FRAMES - 1))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())


def draw(colour: str, shape: str, direction: tuple[int, int], progress: float) -> Image.Image:
    """The picture at `progress` (0 to 1) of the way."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), (24, 28, 36))
    x = WIDTH / 2 + direction[0] * (progress - 0.5) * 96
    y = HEIGHT / 2 + direction[1] * (progress - 0.5) * 64
    pen, box = ImageDraw.Draw(picture), (x - 20, y - 20, x + 20, y + 20)
    if shape == "circle":
        pen.ellipse(box, fill=colour)
    elif shape == "square":
        pen.rectangle(box, fill=colour)
    else:
        pen.polygon([(x, y - 20), (x - 20, y + 20), (x + 20, y + 20)], fill=colour)
    return picture


if __name__ == "__main__":
    main(Path(sys.argv[1]))

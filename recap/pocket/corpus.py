"""A corpus of the pocket world on disk: real mp4 files or pictures, what is true of each, and training conversations.

manifest.jsonl   path, caption, caption_zh, facts: the corpus for `corpus.kind: manifest`
train.json       the same as conversations, for `recap train`
clips/ pictures/ the files
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
from PIL import Image

from recap.pllava.prompts import INSTRUCTIONS
from recap.pocket.draw import draw_frames
from recap.pocket.grammar import chinese, english
from recap.pocket.scene import Scene, draw_scenes

SIDE = 128
FRAMES, RATE = 24, 12
X264 = {"preset": "veryfast", "crf": "18", "threads": "1", "x264-params": "log-level=error"}
JPEG_QUALITY = 88
FILES_PER_FOLDER = 1000
QUESTIONS = (
    "Describe the video.",
    "What can be seen?",
    "Describe what happens in this clip.",
    "Write a caption for this video.",
    "Describe this video in detail.",
)
CLIP_QUESTIONS = (
    *QUESTIONS,
    "Describe this video in one detailed paragraph.",
    INSTRUCTIONS["medium"],
    INSTRUCTIONS["short"],
)


def make_clips(
    folder: Path,
    clips: int,
    seed: int,
    *,
    wider: Collection[str] = (),
    on_made: Callable[[int], None] = lambda made: None,
) -> None:
    """Write `clips` clips of two seconds, 128 × 128, H.264, and what is true of them.

    The first N clips of a seed are the same whatever `clips` is. `wider` is that of `draw_scenes`; `on_made`
    is told how many files are there. Raises ValueError when `folder` holds something already.
    """
    scenes = draw_scenes(seed, moving=True, wider=wider)
    _make(folder, "clips", ".mp4", islice(scenes, clips), _write_clip, seed, CLIP_QUESTIONS, on_made)


def make_pictures(
    folder: Path,
    pictures: int,
    seed: int,
    *,
    on_made: Callable[[int], None] = lambda made: None,
) -> None:
    """Write `pictures` JPEG pictures, whose captions say where things are; otherwise as `make_clips`."""
    scenes = islice(draw_scenes(seed, moving=False), pictures)
    _make(folder, "pictures", ".jpg", scenes, _write_picture, seed, QUESTIONS, on_made)


def _make(
    folder: Path,
    below: str,
    suffix: str,
    scenes: Iterator[Scene],
    write: Callable[[Path, Scene], None],
    seed: int,
    questions: tuple[str, ...],
    on_made: Callable[[int], None],
) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not an empty folder; name a new one")
    chance = random.Random(f"{seed}/questions")
    conversations = []
    media = "video" if suffix == ".mp4" else "image"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for number, scene in enumerate(scenes):
            path = f"{below}/{number // FILES_PER_FOLDER:03d}/{number:06d}{suffix}"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            write(folder / path, scene)
            caption, translated = english(scene.facts), chinese(scene.facts)
            row = {"path": path, "caption": caption, "caption_zh": translated, "facts": scene.facts.as_dict()}
            manifest.write(json.dumps(row, ensure_ascii=False) + "\n")
            conversations.append({media: path, "QA": [{"i": "", "q": chance.choice(questions), "a": caption}]})
            on_made(number + 1)
    (folder / "train.json").write_text(json.dumps(conversations, indent=0) + "\n", encoding="utf-8")


def _write_clip(path: Path, scene: Scene) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=X264)
        stream.width = stream.height = SIDE
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, RATE)
        for picture in draw_frames(scene, FRAMES, SIDE):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _write_picture(path: Path, scene: Scene) -> None:
    picture = next(draw_frames(scene, 1, SIDE))
    Image.fromarray(picture).save(path, quality=JPEG_QUALITY)  # 4:2:0, like the clips

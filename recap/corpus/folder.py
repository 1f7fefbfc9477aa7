"""A corpus that is a folder of video files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recap.corpus.entry import Entry
from recap.corpus.settings import CorpusSettings

EXTENSIONS = frozenset(".3gp .avi .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split())


def folder_entries(settings: CorpusSettings) -> Iterator[Entry]:
    """Every video below `corpus.path` that matches `corpus.pattern`, in the order of their names."""
    root = Path(settings.path)
    if not root.is_dir():
        raise ValueError(f"corpus.path: there is no folder {settings.path}")
    for file in sorted(root.glob(settings.pattern), key=lambda file: file.relative_to(root).as_posix()):
        if file.suffix.lower() in EXTENSIONS and not file.is_dir():
            yield Entry(uri=file.relative_to(root).as_posix())

"""The YAML's `corpus` section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal


@dataclass(frozen=True)
class CorpusSettings:
    """Where clips come from."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True}

    path: str
    """The folder of videos or of tars, or the manifest file: a local path, `file://`, `s3://` or `gs://`."""
    kind: Literal["folder", "manifest", "webdataset"] = "folder"
    """`folder` lists video files; `manifest` reads a csv, jsonl or parquet file, one clip a row; `webdataset` lists the
    videos in a folder's tars."""
    pattern: str = "**/*"
    """Glob below the folder. Files whose ending is no video's, and hidden ones, are passed over, unless the glob names
    such: `**/*.video`."""
    root: str | None = None
    """What a manifest's addresses are relative to, local or a URL too; the manifest's own folder when absent."""
    column: str = "path"
    """The manifest's column that holds each clip's address."""
    start_column: str | None = None
    """The manifest's column with the second at which the clip starts."""
    end_column: str | None = None
    """The manifest's column with the second at which the clip ends."""
    rename: dict[str, str] | None = None
    """New names for columns of the manifest that shards have a name like: `{caption: old_caption}`."""
    trust_size: bool = False
    """Recognise a changed file by its size alone: for corpora whose copies have new times."""

    def __post_init__(self):
        if not self.path:
            raise ValueError("corpus.path is empty: name a folder of videos, or a manifest")
        for name, called in (self.rename or {}).items():
            if not called:
                raise ValueError(f"corpus.rename gives {name!r} no name")
        pattern = PurePosixPath(self.pattern)
        if pattern.is_absolute() or ".." in pattern.parts or not pattern.parts:
            raise ValueError(f"corpus.pattern must be a glob below the folder, without `..`; it is {self.pattern!r}")
        if any("**" in part and part != "**" for part in pattern.parts):
            raise ValueError(f"corpus.pattern: `**` must stand alone between slashes; it is {self.pattern!r}")

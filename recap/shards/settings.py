"""The YAML's `output` section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recap.bounds import Count, NotNegative, UpToAMillion


@dataclass(frozen=True)
class OutputSettings:
    """What is delivered, and where."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    path: str
    """The output folder: a local path, `file://`, `s3://` or `gs://`. It belongs to one corpus; run again to go on."""
    formats: tuple[Literal["parquet", "webdataset"], ...] = ("parquet", "webdataset")
    """Which shards to write. Quarantined clips are always written as Parquet."""
    rows_per_shard: Count = 10_000
    """Captioned clips in one shard."""
    commit_every_s: UpToAMillion = 30.0
    """Seconds of finished captions that a crash may cost; shorter writes more, smaller fragments."""
    grace_s: NotNegative = 25.0
    """Seconds that a run may take, once it is asked to stop, to finish and commit what is in flight."""
    include_video: bool = False
    """Put each clip's own file into the WebDataset shards; of a span, the whole file that it is in."""

    def __post_init__(self):
        if not self.path:
            raise ValueError("output.path is empty: name the folder to write to")
        if not self.formats:
            raise ValueError("output.formats is empty: name parquet, webdataset or both")
        if self.include_video and "webdataset" not in self.formats:
            raise ValueError("output.include_video needs webdataset among output.formats")

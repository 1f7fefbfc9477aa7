"""Parquet shards."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def write_parquet(rows: pa.Table, path: Path) -> bool:
    """One shard, one row group, always whole; the bytes depend on the rows and the version of pyarrow alone."""
    pq.write_table(rows, path, compression="zstd", row_group_size=max(len(rows), 1))
    return True

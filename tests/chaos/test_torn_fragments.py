"""A fragment that is damaged at any kind of place is set aside, and its clips are done again."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recap import jobs


def places(data: bytes) -> dict[str, int]:
    """A byte of every kind in a sealed file; the names are the same for every fragment."""
    footer, seal = len(data) - 8 - int.from_bytes(data[-8:-4], "little"), data.rfind(b"recap-seal:")
    found = {"magic": 0, "first page": 4, "footer": footer, "contract": data.rfind(b"recap.contract")}
    found |= {"mark": seal, "seal": seal + 11, "end of the seal": seal + 42}
    found |= {"length": len(data) - 8, "trailing magic": len(data) - 4, "last byte": len(data) - 1}
    group = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0)
    for column in map(group.column, range(group.num_columns)):
        start = column.dictionary_page_offset or column.data_page_offset
        end = start + column.total_compressed_size - 1
        name = column.path_in_schema
        found |= {f"{name}: chunk": start, f"{name}: data": column.data_page_offset, f"{name}: end": end}
    return found


def damage(path: Path, place: str, how: str, bit: int) -> None:
    """Flip a bit of `path` at a named place, or cut it off there."""
    data = path.read_bytes()
    at = places(data)[place]
    path.write_bytes(data[:at] if how == "cut" else data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])


@pytest.fixture
def many_fragments(rehearsal):
    """The pipeline of six clips, in about as many fragments."""
    return rehearsal("output.commit_every_s=0.001", "engine.batch_size=1")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("most", [18, pytest.param(10_000, marks=pytest.mark.long)], ids=["some", "every"])
def test_a_torn_fragment_costs_its_clips_another_try(many_fragments, tmp_path, most, deliverable, accounts):
    jobs.run(many_fragments, runner="loop")
    whole, folder = deliverable(tmp_path / "out"), next((tmp_path / "out/fragments").iterdir())
    sound, wild = next(folder.glob("*.parquet")).read_bytes(), random.Random(0)
    todo = list(product(places(sound), ("cut", "flip")))
    wild.shuffle(todo)
    del todo[most:]
    while todo:
        paths = sorted(folder.glob("*.parquet"))[: len(todo)]
        for path in paths:
            damage(path, *todo.pop(), wild.randrange(8))
        summary = jobs.run(many_fragments, runner="loop")
        assert summary.complete and summary.captioned_now >= len(paths)
        torn = list(folder.glob("*.torn"))
        assert len(torn) == len(paths) and deliverable(tmp_path / "out") == whole
        for path in torn:
            path.unlink()
        accounts.add("a fragment cut or flipped", "set aside, its clips are done again", tmp_path / "out", len(paths))

"""Notes about the shards of an unfinished generation, so that none is written twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa

import recap
from recap.ledger import Damaged, Shard, read_json, shaped, write_json


def generation_of(lines: Iterable[str]) -> str:
    """The generation of shards, each given as `path sha256`; the path is below the generation's folder."""
    return blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class _Written:
    rows: str
    shard: Shard


@dataclass(frozen=True)
class Note:
    """Beside an unfinished generation: which rows, written by which versions, a finished shard holds."""

    path: Path
    rows: str

    @classmethod
    def of(cls, folder: Path, name: str, rows: pa.Table) -> Note:
        """The note about the shard `name` of the generation in `folder`, were it to hold `rows`."""
        digest = blake2b(f"{recap.__version__} {pa.__version__}".encode(), digest_size=16)
        with pa.output_stream(_Hashing(digest)) as sink, pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        return cls(folder / (name.replace("/", "-") + ".note"), digest.hexdigest())

    def read(self) -> Shard | None:
        """The shard, when one was finished with these rows."""
        try:
            document = read_json(self.path)
            written = None if document is None else shaped(self.path, document, _Written)
        except Damaged:
            return None
        return written.shard if written is not None and written.rows == self.rows else None

    def write(self, shard: Shard) -> None:
        """Only once the shard is on the disk."""
        write_json(self.path, {"rows": self.rows, "shard": asdict(shard)})


class _Hashing:
    """A file to write to, which keeps nothing."""

    closed = False

    def __init__(self, digest: blake2b):
        self.digest = digest

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

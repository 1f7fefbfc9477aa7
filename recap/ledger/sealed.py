"""Parquet files that know whether they are whole: a checksum over every byte, and the contract they keep.

The checksum stands in the file's own footer, so any Parquet reader reads a sealed file. Every
version of the contract keeps it, which is how an older recap tells a newer file from a torn one.
"""

from __future__ import annotations

from hashlib import blake2b

import pyarrow as pa
import pyarrow.parquet as pq

from recap.storage import Location, read_bytes, write_atomically

CONTRACT = 1
ROW_GROUP = 512  # rows that are read together when a few are wanted
_MARK = b"recap-seal:"
_HEX = 32
_BLANK = b"0" * _HEX


class Torn(Exception):
    """A file that is not what its writer wrote, or was never ours. The message says why."""


def write_sealed(path: Location, table: pa.Table, *, row_group: int = ROW_GROUP, contract: int = CONTRACT) -> None:
    """Write `table` atomically as a sealed file of row groups of `row_group` rows."""
    write_atomically(path, _sealed(table, row_group, contract))


def open_sealed(path: Location) -> pq.ParquetFile:
    """The file at `path`, every byte of it checked.

    Raises Torn when its bytes are not those that were written, and ValueError when they are, by a
    newer recap.
    """
    data = read_bytes(path)
    if not data:
        raise Torn("it is empty")
    place = data.rfind(_MARK)
    if place < 0:
        raise Torn("it carries no checksum")
    if data[place + len(_MARK) :][:_HEX] != _checksum(data, place + len(_MARK)):
        raise Torn("its checksum does not match")
    file = pq.ParquetFile(pa.BufferReader(data))
    refuse_newer(path, int(file.metadata.metadata[b"recap.contract"]))
    return file


def refuse_newer(path: Location, contract: int) -> None:
    """Raise ValueError for what a later version of the contract describes."""
    if contract > CONTRACT:
        raise ValueError(
            f"{path} was written by a newer recap (contract {contract}, this one knows {CONTRACT}); upgrade recap"
        )


def _sealed(table: pa.Table, row_group: int, contract: int) -> bytes:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        writer.write_table(table, row_group_size=row_group)
        writer.add_key_value_metadata({"recap.contract": str(contract), "recap.seal": (_MARK + _BLANK).decode()})
    data = bytearray(sink.getvalue())
    place = data.rfind(_MARK) + len(_MARK)
    data[place : place + _HEX] = _checksum(data, place)
    return bytes(data)


def _checksum(data: bytes | bytearray, place: int) -> bytes:
    """Of all bytes, with a blank where the checksum itself stands."""
    view, digest = memoryview(data), blake2b(digest_size=_HEX // 2)
    for piece in (view[:place], _BLANK, view[place + _HEX :]):
        digest.update(piece)
    return digest.hexdigest().encode()

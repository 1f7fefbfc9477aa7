"""Which weights are these? An answer that does not read 70 GB at every start."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from pathlib import Path

from recap.pllava.safetensors_files import INDEX, checkpoint_folder, tensors, weight_files

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SAMPLE_BYTES = 4096
_BLOCK_BYTES = 1 << 20
_ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Besides the weights, what decides which words come out.
_SMALL_FILES = ("config.json", "generation_config.json", "tokenizer.json", INDEX)


def weight_digest(folder: str | Path, *, full: bool = False) -> str:
    """A name for the weights in `folder`: 40 hex digits of the hub commit, else 40 of blake2b.

    A hub snapshot is known by its path, `…/snapshots/<commit>`. Otherwise the small files (config, index,
    tokenizer), the safetensors headers and sizes and both ends of every tensor are hashed. `full` hashes
    every byte of the weights, of a snapshot too. ValueError if the folder holds no whole checkpoint.
    """
    path = checkpoint_folder(folder)
    place = path.absolute()
    if not full and place.parent.name == "snapshots" and _COMMIT.fullmatch(place.name):
        return place.name
    digest = hashlib.blake2b(digest_size=20)
    for part in _small_parts(path):
        digest.update(part)
    for part in _every_byte(path) if full else _sampled_bytes(path):
        digest.update(part)
    return digest.hexdigest()


def checkpoint_bytes(folder: str | Path, dtype: str = "auto") -> int:
    """The total size of the tensors in `folder`, in bytes, as they are or as they will be in `dtype`."""
    stored = tensors(checkpoint_folder(folder))
    if dtype == "auto":
        return sum(each.end - each.start for each in stored)
    return _ITEM_BYTES[dtype] * sum(math.prod(each.shape) for each in stored)


def _small_parts(folder: Path) -> Iterator[bytes]:
    for name in _SMALL_FILES:
        if (folder / name).is_file():
            content = (folder / name).read_bytes()
            yield f"{name} {len(content)}\n".encode() + content


def _sampled_bytes(folder: Path) -> Iterator[bytes]:
    stored = tensors(folder)
    for path in weight_files(folder):
        yield f"{path.name} {path.stat().st_size}\n".encode()
        with path.open("rb") as file:
            for tensor in (tensor for tensor in stored if tensor.path == path):
                yield f"{tensor.key} {tensor.dtype} {tensor.shape} {tensor.start}\n".encode()
                for start in (tensor.start, max(tensor.start, tensor.end - _SAMPLE_BYTES)):
                    file.seek(start)
                    yield file.read(min(_SAMPLE_BYTES, tensor.end - start))


def _every_byte(folder: Path) -> Iterator[bytes]:
    for path in weight_files(folder):
        yield f"{path.name} {path.stat().st_size}\n".encode()
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield block

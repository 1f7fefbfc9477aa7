"""What the caller's columns are called in the shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import pyarrow as pa


def named(callers: pa.Table, rename: Mapping[str, str], reserved: Collection[str]) -> pa.Table:
    """`callers` with the names that `corpus.rename` gives them.

    Raises ValueError for one that it lacks, two that would be called alike, and those that have a `reserved` name.
    """
    _refuse_unknown(callers, rename)
    names = {name: rename.get(name, name) for name in callers.column_names}
    _refuse_alike(names)
    _refuse_reserved(names, reserved)
    return callers.rename_columns(list(names.values()))


def _refuse_unknown(callers: pa.Table, rename: Mapping[str, str]) -> None:
    unknown = [name for name in rename if name not in callers.column_names]
    if unknown:
        raise ValueError(
            f"corpus.rename: {', '.join(unknown)} is none of the manifest's own columns "
            f"({', '.join(callers.column_names) or 'it has none'} beside address and span)"
        )


def _refuse_alike(names: Mapping[str, str]) -> None:
    alike = [name for name, count in Counter(names.values()).items() if count > 1]
    if alike:
        raise ValueError(f"corpus.rename: several columns would be called {', '.join(alike)}; give each its own name")


def _refuse_reserved(names: Mapping[str, str], reserved: Collection[str]) -> None:
    taken = [name for name, called in names.items() if called in reserved]
    if taken:
        ways = ", ".join(f"{name}: {_free(f'old_{name}', names.values())}" for name in taken)
        raise ValueError(
            f"corpus: records have columns of their own called {', '.join(names[name] for name in taken)}; "
            f"set corpus.rename: {{{ways}}} and the manifest can stay as it is "
            "(an address or a span is named in corpus.column, corpus.start_column, corpus.end_column)"
        )


def _free(name: str, taken: Collection[str]) -> str:
    return _free(f"{name}_", taken) if name in taken else name

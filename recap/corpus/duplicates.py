"""One clip is listed once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recap.corpus.identity import clip_id
from recap.corpus.wording import number_of, some_of
from recap.ids import packed, spelt


def refuse_duplicates(clips: pa.Table) -> None:
    """Raise ValueError that tells clips of one address from those of two that only look alike."""
    ids = packed(clips["clip_id"])
    ids.sort()
    twice = spelt(np.unique(ids[1:][ids[1:] == ids[:-1]]))
    if not twice:
        return
    again = clips.select(["clip_id", "uri"]).filter(pc.is_in(clips["clip_id"], pa.array(twice)))
    spellings = (
        again.group_by("clip_id", use_threads=False).aggregate([("uri", "distinct")])["uri_distinct"].to_pylist()
    )
    _refuse_lookalikes([sorted(uris) for uris in spellings if len(uris) > 1 and len({*map(clip_id, uris)}) == 1])
    first = again["uri"][0].as_py()
    raise ValueError(
        f"corpus: {number_of(len(twice), 'clip is', 'clips are')} named more than once, the first {first!r}; "
        "give each address (or span of it) one row"
    )


def _refuse_lookalikes(pairs: list[list[str]]) -> None:
    if pairs:
        raise ValueError(
            f"corpus: {number_of(len(pairs), 'pair', 'pairs')} of addresses that differ in Unicode normalisation only, "
            f"and so are one clip: {some_of(' and '.join(map(ascii, uris)) for uris in pairs)}; rename or remove one"
        )

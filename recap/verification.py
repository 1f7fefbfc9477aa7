"""Is an output what its manifest says, and does the manifest say what was committed?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import file_digest

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recap import ledger, shards
from recap.delivery import Delivery, Layer, verdict_key
from recap.records import CAPTIONED
from recap.review import ReviewSettings
from recap.storage import Location, children, source

Far = Callable[[str, int, int], object]
LATE = "its shards were cut of less than is known and committed by now: run again, or to the end, then verify"


@dataclass(frozen=True)
class _Judged:
    review: ReviewSettings


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it must be. `where` is a path below the output."""

    where: str
    what: str


def verify(output: Location, far: Far = lambda doing, clips, of: None) -> list[Difference]:
    """Every difference that a read of every byte finds; none for a sound output.

    `far` is told what is done, and how far: clips of so many. Takes no lease, so that a run that is at work, or was
    stopped before its end, differs too. Memory holds the rows of one shard, and 53 bytes a caption to look for
    near-duplicates. Raises ValueError where no run has finished.
    """
    try:
        return _differences(output, far)
    except FileNotFoundError as error:
        where = str(error.filename).removeprefix(f"{output}/")
        return [Difference(where, "it went while it was looked at: a run is at work; verify again when it has ended")]


def _differences(output: Location, far: Far) -> list[Difference]:
    try:
        manifest = ledger.read_manifest(output)
        judged = {"review": manifest.review}
        settings = ledger.shaped(output / "manifest.json", judged, _Judged, ledger.RUN_AGAIN).review
    except ledger.Damaged as error:
        return [*_recipe(output), Difference("manifest.json", str(error))]
    files = manifest.shards
    found = [*_recipe(output), *_fragments(output), *_manifest(manifest), *_files(output, files, far)]
    broken = {difference.where for difference in found}
    try:
        snapshot = ledger.read_snapshot(output)
    except ValueError as error:
        return [*found, Difference("snapshot", str(error))]
    if snapshot is None:
        return [*found, Difference("snapshot", "it is missing")]
    delivery = _delivery(output, manifest, snapshot, settings, far)
    if _is_late(manifest, delivery.committed):
        return [*found, Difference("manifest.json", LATE)]
    for kind in dict.fromkeys(("quarantine", *(shard.kind for shard in files))):
        some = [shard for shard in files if shard.kind == kind]
        expected = Expected(kind, delivery)
        found += _content(output, kind, _told(f"comparing {kind}", some, far), broken, expected)
        expected.skip()
    return [*found, *_books(manifest, delivery)]


def _is_late(manifest: ledger.Manifest, committed: ledger.Committed) -> bool:
    """Whether more is committed, or known of the corpus, than when the shards were cut; a manifest that contradicts
    itself tells nothing of that."""
    rows, books = Counter[str](), manifest.reconciliation
    for shard in manifest.shards:
        rows[shard.kind] += shard.rows
    delivered = rows.pop("quarantine", 0) + max(rows.values(), default=0)
    clips = len(committed.snapshot)
    was_sound = delivered == books.captioned + books.quarantined + books.filtered
    has_grown = clips > books.clips + books.vanished or clips - len(committed.snapshot.present) != books.vanished
    return was_sound and (has_grown or len(committed.done) > delivered)


def _delivery(
    output: Location, manifest: ledger.Manifest, snapshot: ledger.Snapshot, settings: ReviewSettings, far: Far
) -> Delivery:
    """What the shards were cut from, with the settings that the manifest names."""
    committed = ledger.observe(snapshot, ledger.fragment_folder(output, manifest.caption_key))
    key = manifest.review_key
    captions = Layer(committed, ledger.observe(snapshot, ledger.overlay_folder(output, key)))
    translations = {
        language: Layer(*(ledger.observe(snapshot, ledger.overlay_folder(output, k)) for k in _keys(each.key, key)))
        for language, each in manifest.translations.items()
    }
    on_compared = partial(far, "looking for near-duplicates", of=len(committed.done))
    return Delivery(captions, translations, settings, key, on_compared)


def _keys(translation_key: str, review_key: str) -> tuple[str, str]:
    return translation_key, verdict_key(review_key, translation_key)


def _recipe(output: Location) -> Iterator[Difference]:
    try:
        ledger.read_recipe(output)
    except ValueError as error:
        yield Difference("recipe.json", str(error))


def _fragments(output: Location) -> Iterator[Difference]:
    torn: list[Difference] = []

    def on_torn(path: Location, reason: str) -> None:
        torn.append(Difference(path.relative_to(output).as_posix(), reason))

    for folder in sorted((*children(output / "fragments"), *children(output / "overlays"))):
        for _ in ledger.read_fragments(folder, on_torn):
            pass
    yield from torn


def _manifest(manifest: ledger.Manifest) -> Iterator[Difference]:
    home = f"shards/{manifest.generation}/"
    lines = (f"{shard.path.removeprefix(home)} {shard.sha256}" for shard in manifest.shards)
    if shards.generation_of(lines) != manifest.generation:
        yield Difference("manifest.json", "its generation is not that of its shards")
    books = manifest.reconciliation
    if books.clips != books.captioned + books.quarantined + books.filtered + books.remaining:
        yield Difference("manifest.json", f"its books do not balance: {books}")


def _told(doing: str, files: list[shards.Shard], far: Far) -> Iterator[shards.Shard]:
    clips, of = 0, sum(shard.rows for shard in files)
    for shard in files:
        yield shard
        clips += shard.rows
        far(doing, clips, of)


def _files(output: Location, files: list[shards.Shard], far: Far) -> Iterator[Difference]:
    for shard in _told("reading shards", files, far):
        path = output / shard.path
        if not path.is_file():
            yield Difference(shard.path, "it is missing")
        elif path.stat().st_size != shard.bytes:
            yield Difference(shard.path, f"it has {path.stat().st_size} bytes, not {shard.bytes}")
        else:
            with path.open("rb") as file:
                if file_digest(file, "sha256").hexdigest() != shard.sha256:
                    yield Difference(shard.path, "its sha256 is not the manifest's")


def _books(manifest: ledger.Manifest, delivery: Delivery) -> Iterator[Difference]:
    """Once the rows have been read."""
    committed = delivery.committed
    vanished = len(committed.snapshot) - len(committed.snapshot.present)
    fresh = {"reconciliation": delivery.books() | {"vanished": vanished}, "reasons": dict(committed.reasons())}
    told = asdict(manifest)
    for name, now in fresh.items():
        for part, (before, after) in ledger.differences(told[name], now).items():
            yield Difference("manifest.json", f"{name} says {part} {before}, the fragments say {after}")


class Expected:
    """The rows that the shards of one kind must hold, in their order."""

    def __init__(self, kind: str, delivery: Delivery):
        self._batches = self._of_kind(kind, delivery)
        self._rows: list[pa.Table] = []

    @staticmethod
    def _of_kind(kind: str, delivery: Delivery) -> Iterator[pa.Table]:
        for batch in delivery.batches():
            is_captioned = pc.equal(batch["status"], CAPTIONED)
            yield batch.filter(pc.invert(is_captioned) if kind == "quarantine" else is_captioned)

    def take(self, count: int) -> pa.Table | None:
        """The next `count` rows, or what is left of them; None where nothing is."""
        while sum(map(len, self._rows)) < count and (batch := next(self._batches, None)) is not None:
            if len(batch):
                self._rows.append(batch)
        if not any(map(len, self._rows)):
            return None
        rows = pa.concat_tables(self._rows)
        self._rows = [rows.slice(count)]
        return rows.slice(0, count).combine_chunks()

    def skip(self) -> None:
        """Read what is left: only then has `delivery` counted all."""
        for _ in self._batches:
            pass


def _content(
    output: Location, kind: str, files: Iterable[shards.Shard], broken: set[str], expected: Expected
) -> Iterator[Difference]:
    """Where the shards of a kind, read in order, are not what the fragments say."""
    for shard in files:
        rows = expected.take(shard.rows)
        if shard.path in broken:
            continue
        if rows is None or len(rows) < shard.rows:
            yield Difference(shard.path, "it holds more rows than the fragments")
            return
        ids = rows["clip_id"]
        if (ids[0].as_py(), ids[-1].as_py()) != (shard.first_clip_id, shard.last_clip_id):
            yield Difference(shard.path, "it does not hold the clips that the fragments say; none behind is compared")
            return
        compare = _tar if kind == "webdataset" else _parquet
        yield from (Difference(shard.path, what) for what in compare(output / shard.path, rows))
    if (rest := expected.take(1)) is not None:
        first = rest["clip_id"][0].as_py()
        yield Difference(f"shards ({kind})", f"committed records are in none, the first that of clip {first}")


def _parquet(path: Location, rows: pa.Table) -> Iterator[str]:
    actual = pq.read_table(source(path))
    if actual.equals(rows):
        return
    if len(actual) != len(rows):
        yield f"it has {len(actual)} rows, not {len(rows)}"
    for is_, must in zip(actual.to_pylist(), rows.to_pylist(), strict=False):
        if repr(is_) != repr(must):  # NaN is like NaN
            names = [name for name in must if repr(is_.get(name)) != repr(must[name])]
            yield f"clip {must['clip_id']} has another {', '.join(names)} than its fragment"


def _tar(path: Location, rows: pa.Table) -> Iterator[str]:
    samples = shards.read_samples(path)
    for must in shards.samples(rows):
        is_ = next(samples, None)
        if is_ is None or is_["__key__"] != must["__key__"]:
            yield f"the files of {must['__key__']} are not in their place, side by side"
            return
        names = [name for name in must if is_.get(name) != must[name]]
        if names:
            yield f"clip {must['__key__']} has another {', '.join(names)} than its fragment"
    if (more := next(samples, None)) is not None:
        yield f"it has the sample {more['__key__']} too many"

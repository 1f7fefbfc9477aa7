from __future__ import annotations

import io
import json
import shutil
import tarfile
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recap import delivery, jobs, ledger
from recap.ledger import fragments
from recap.ledger.recipe import LOST_RECIPE
from recap.records import QUARANTINED, Clip, Record
from recap.shards import generation_of
from recap.status import status
from recap.verification import verify


@pytest.fixture(scope="module")
def finished(tmp_path_factory, home):
    """An output with captioned and quarantined clips, in several shards of each kind."""
    from recap.pipeline import load_pipeline

    folder = tmp_path_factory.mktemp("verified")
    corpus = folder / "clips"
    corpus.mkdir()
    for clip in sorted((home / "pipelines/demo/clips/shapes").iterdir())[:5]:
        shutil.copy(clip, corpus)
    (corpus / "bad.mp4").touch()
    path = folder / "p.yaml"
    path.write_text(
        f"corpus: {{path: {corpus}}}\nengine: {{kind: rehearsal, max_new_tokens: 9}}\n"
        f"output: {{path: {folder / 'out'}, rows_per_shard: 2}}\n"
    )
    jobs.run(load_pipeline(path), runner="loop")
    return folder / "out"


@pytest.fixture
def output(finished, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(finished, tmp_path / "out")


def shard(output, kind, number=0):
    return sorted(output.glob(f"shards/*/{kind}/*"))[number]


def differences(output) -> list[str]:
    return [f"{found.where}: {found.what}" for found in verify(output)]


def test_how_far_it_is_is_told(output):
    told = []
    assert verify(output, lambda doing, clips, of: told.append((doing, clips, of))) == []
    assert told[-1] == ("comparing webdataset", 5, 5) and ("looking for near-duplicates", 6, 6) in told
    assert [clips for doing, clips, _ in told if doing == "reading shards"] == [1, 3, 5, 6, 8, 10, 11]


def rewrite_manifest(output, change):
    """Let the manifest speak of the shards as they are now, after `change` had a go at it."""
    document = json.loads((output / "manifest.json").read_text())
    change(document)
    old = output / "shards" / document["generation"]
    for line in document["shards"]:
        data = (output / line["path"]).read_bytes()
        line |= {"bytes": len(data), "sha256": sha256(data).hexdigest()}
    prefix = f"shards/{document['generation']}/"
    generation = generation_of(f"{s['path'].removeprefix(prefix)} {s['sha256']}" for s in document["shards"])
    for line in document["shards"]:
        line["path"] = line["path"].replace(document["generation"], generation)
    document["generation"] = generation
    old.rename(output / "shards" / generation)
    (output / "manifest.json").write_text(json.dumps(document))


def test_a_sound_output_has_no_difference_and_is_searched_for_near_duplicates_once(output, monkeypatch):
    searches, real = [], delivery.near_duplicates
    monkeypatch.setattr(delivery, "near_duplicates", lambda *what: searches.append(what) or real(*what))
    assert differences(output) == []
    assert len(searches) == 1
    assert searches[0][-1] is delivery.SIGNATURES


def test_clips_that_were_committed_since_are_no_damage(output):
    folder = ledger.fragment_folder(output, ledger.read_recipe(output).keys["caption_key"])
    snapshot = ledger.read_snapshot(output)
    ledger.update_snapshot(output, grown(snapshot))
    writer = ledger.FragmentWriter(folder, 9, "later", flush_s=60)
    writer.append(Record(Clip("f" * 32, len(snapshot), "new.mp4", "", "1"), QUARANTINED, "c", "r"))
    writer.flush()
    (found,) = differences(output)
    assert found.startswith("manifest.json: its shards were cut of less than is known and committed by now: run again")


def test_a_corpus_that_was_read_anew_since_is_no_damage(output):
    snapshot = ledger.read_snapshot(output)
    ledger.update_snapshot(output, grown(snapshot).slice(1))
    (found,) = differences(output)
    assert found.startswith("manifest.json: its shards were cut of less")


def grown(snapshot) -> pa.Table:
    """The corpus with one clip more."""
    rows = snapshot.rows(snapshot.present, snapshot.reader(["clip_id", "uri", "source_version", "start_s", "end_s"]))
    new = {"clip_id": "f" * 32, "uri": "new.mp4", "source_version": "1", "start_s": None, "end_s": None}
    return pa.concat_tables([rows, pa.Table.from_pylist([new], schema=rows.schema)])


@pytest.mark.parametrize("pattern", ["shards/*/parquet/*", "shards/*/quarantine/*", "shards/*/webdataset/*"])
def test_a_flipped_bit_and_a_lost_file_in_any_shard_are_named(output, pattern):
    paths = sorted(output.glob(pattern))
    assert paths
    for path in paths:
        sound = path.read_bytes()
        path.write_bytes(sound[:9] + bytes([sound[9] ^ 4]) + sound[10:])
        assert differences(output) == [f"{path.relative_to(output)}: its sha256 is not the manifest's"]
        path.write_bytes(sound[:-1])
        assert differences(output) == [f"{path.relative_to(output)}: it has {len(sound) - 1} bytes, not {len(sound)}"]
        path.unlink()
        assert differences(output) == [f"{path.relative_to(output)}: it is missing"]
        path.write_bytes(sound)


def test_a_flipped_bit_in_a_fragment_or_in_the_snapshot_is_named(output):
    (fragment,) = output.glob("fragments/*/*.parquet")
    sound = fragment.read_bytes()
    fragment.write_bytes(sound[:99] + bytes([sound[99] ^ 4]) + sound[100:])
    assert f"{fragment.relative_to(output)}: its checksum does not match" in differences(output)
    assert fragment.exists()
    fragment.write_bytes(sound)
    (part,) = output.glob("snapshot/*")
    part.write_bytes(part.read_bytes()[:-1])
    (found,) = differences(output)
    assert found.startswith("snapshot: ") and "part-00000.parquet is damaged" in found


def test_a_row_that_its_fragment_does_not_say_is_named_though_every_sum_is_right(output):
    path = shard(output, "parquet", 1)
    table = pq.read_table(path)
    captions = pa.array(["another text", *table["caption"].to_pylist()[1:]])
    pq.write_table(table.set_column(table.column_names.index("caption"), "caption", captions), path)
    rewrite_manifest(output, lambda document: None)
    path = shard(output, "parquet", 1).relative_to(output)
    clip = table["clip_id"][0].as_py()
    assert differences(output) == [f"{path}: clip {clip} has another caption than its fragment"]


@pytest.mark.parametrize("spoil", ["text", "order", "missing", "foreign"])
def test_a_tar_that_its_fragments_do_not_say_is_named(output, spoil):
    path = shard(output, "webdataset")
    with tarfile.open(path) as archive:
        files = [(member.name, archive.extractfile(member).read()) for member in archive]
    if spoil == "text":
        files[0] = files[0][0], b"another text"
    elif spoil == "order":
        files[0], files[2] = files[2], files[0]
    elif spoil == "missing":
        del files[1]
    else:
        files.append(("stranger.txt", b"hello"))
    with tarfile.open(path, "w") as archive:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    rewrite_manifest(output, lambda document: None)
    wanted = {"text": "another json", "order": "side by side", "missing": "another txt", "foreign": "too many"}
    (found,) = differences(output)
    assert wanted[spoil] in found and "train-000000.tar" in found


def test_books_that_are_not_the_fragments_are_named(output):
    def change(document):
        document["reconciliation"] |= {"captioned": 4, "remaining": 1}
        document["reasons"] = {}

    rewrite_manifest(output, change)
    text = "\n".join(differences(output))
    for wanted in ("captioned 4, the fragments say 5", "remaining 1, the fragments say 0", "probe/empty_file None"):
        assert wanted in text


def test_books_that_do_not_balance_and_a_wrong_generation_are_named(output):
    document = json.loads((output / "manifest.json").read_text())
    document["reconciliation"]["filtered"] = 3
    document["shards"][0]["sha256"] = "0" * 64
    (output / "manifest.json").write_text(json.dumps(document))
    text = "\n".join(differences(output))
    assert "do not balance" in text and "generation is not that of its shards" in text


def test_records_that_no_shard_holds_yet_are_a_difference(output):
    for kind in ("parquet", "webdataset"):
        last = sorted(output.glob(f"shards/*/{kind}/*"))[-1].relative_to(output).as_posix()
        document = json.loads((output / "manifest.json").read_text())
        document["shards"] = [line for line in document["shards"] if line["path"] != last]
        (output / "manifest.json").write_text(json.dumps(document))
    text = "\n".join(differences(output))
    assert "shards (parquet): committed records are in none" in text and "shards (webdataset)" in text


def test_the_books_are_compared_wherever_the_rows_of_a_shard_differ(output, monkeypatch):
    monkeypatch.setattr(ledger.Committed.batches, "__defaults__", (2,))
    document = json.loads((output / "manifest.json").read_text())
    shards = [line for line in document["shards"] if line["kind"] == "webdataset"]
    shards[0]["first_clip_id"] = "0" * 32
    document["reasons"] = {}
    (output / "manifest.json").write_text(json.dumps(document))
    text = "\n".join(differences(output))
    assert "train-000000.tar: it does not hold the clips" in text and "the fragments say" in text


def test_what_a_run_merges_meanwhile_is_a_difference(output, monkeypatch):
    (fragment,) = output.glob("fragments/*/*.parquet")

    def merged(path, opened=fragments.open_fragment):
        fragment.unlink(missing_ok=True)
        return opened(path)

    monkeypatch.setattr(fragments, "open_fragment", merged)
    (found,) = differences(output)
    assert found.startswith(f"{fragment.relative_to(output)}: it went while") and "verify again" in found


def test_an_output_without_a_manifest_or_with_a_newer_one_is_refused(output):
    document = json.loads((output / "manifest.json").read_text())
    (output / "manifest.json").write_text(json.dumps(document | {"contract": 2}))
    with pytest.raises(ValueError, match="newer recap"):
        verify(output)
    (output / "manifest.json").unlink()
    with pytest.raises(ValueError, match="no run has finished"):
        verify(output)


def test_a_damaged_document_is_named_with_what_mends_it(output, tmp_path):
    (output / "manifest.json").write_text("{nope")
    (output / "recipe.json").write_text("{nope")
    text = "\n".join(differences(output))
    assert f"{output}/manifest.json is damaged" in text and "run the same pipeline again" in text
    assert f"{output}/recipe.json is damaged" in text and "beside the newest fragments" in text
    with pytest.raises(ValueError, match=r"recipe\.json is damaged .*copy the recipe\.json"):
        status(output)
    (beside,) = output.glob("fragments/*/recipe.json")
    shutil.copy(beside, output)
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        status(output)


def test_a_missing_recipe_is_a_difference(output):
    (output / "recipe.json").unlink()
    assert differences(output) == [f"recipe.json: {output} holds no recipe.json: {LOST_RECIPE}"]

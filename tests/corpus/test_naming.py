"""The caller's columns under the names that the shards have for them."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from recap.corpus import CorpusSettings, scan
from recap.jobs import run
from recap.planning import plan


def scanned(path, rename=None, reserved=("caption", "status")):
    return scan(CorpusSettings(str(path), "manifest", rename=rename), reserved=reserved)


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("path,caption,status,old_status,score\na.mp4,a dog,new,x,1\n")
    return path


def test_all_columns_that_clash_are_named_at_once_with_a_setting_that_is_ready(manifest):
    with pytest.raises(
        ValueError, match=r"caption, status; set corpus\.rename: {caption: old_caption, status: old_st"
    ) as e:
        scanned(manifest)
    assert "{caption: old_caption, status: old_status_}" in str(e.value)
    table = scanned(manifest, {"caption": "old_caption", "status": "old_status_"})
    own = table.select(["old_caption", "old_status_", "old_status", "score"]).to_pylist()
    assert own == [{"old_caption": "a dog", "old_status_": "new", "old_status": "x", "score": 1}]


def test_columns_may_swap_names(manifest):
    assert scanned(manifest, {"score": "old_status", "old_status": "score"}, ())["score"].to_pylist() == ["x"]


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({"captoin": "x"}, r"captoin is none of the manifest's own columns \(caption, status, old_status, score"),
        ({"path": "x"}, r"path is none of the manifest's own columns"),
        ({"caption": "score"}, "several columns would be called score"),
        ({"score": "uri"}, r"called caption, status, uri; set corpus\.rename: .*score: old_score}"),
        ({"score": ""}, "gives 'score' no name"),
    ],
)
def test_a_renaming_that_makes_no_sense_is_refused(manifest, rename, message):
    with pytest.raises(ValueError, match=message):
        scanned(manifest, rename)


def test_old_captions_are_handed_on_and_another_name_for_them_captions_nothing_again(rehearsal, corpus, tmp_path):
    clips = sorted(file.name for file in corpus.iterdir())
    (tmp_path / "m.csv").write_text("path,caption\n" + "".join(f"{name},old {name}\n" for name in clips))
    manifest = ("corpus.kind=manifest", f"corpus.path={tmp_path / 'm.csv'}", f"corpus.root={corpus}")
    with pytest.raises(ValueError, match=r"set corpus\.rename: {caption: old_caption}"):
        run(rehearsal(*manifest), runner="loop")
    run(rehearsal(*manifest, "corpus.rename={caption: old_caption}"), runner="loop")
    assert delivered(tmp_path, "old_caption") == [f"old {name}" for name in clips]
    other = rehearsal(*manifest, "corpus.rename.caption=was")
    planned = plan(other)
    assert planned.to_do == 0 and set(planned.settings) == {"corpus.rename.caption"}
    assert run(other, runner="loop").captioned_now == 0
    assert delivered(tmp_path, "was") == [f"old {name}" for name in clips]
    assert delivered(tmp_path, "old_caption") == [None] * len(clips)


def delivered(home, column):
    files = sorted((home / "out" / "shards").glob("*/parquet/*.parquet"))
    return [value for file in files for value in pq.read_table(file)[column].to_pylist()]

from __future__ import annotations

import os
import unicodedata

import pytest

from recap.corpus import CorpusSettings, corpus_identity, scan
from recap.corpus.identity import clip_id


def touch(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_a_folder_lists_its_videos_in_order_of_name(tmp_path):
    for name in ("b.mp4", "a/c.MKV", "notes.txt", "a/d.webm"):
        touch(tmp_path / name)
    assert scan(CorpusSettings(str(tmp_path)))["uri"].to_pylist() == ["a/c.MKV", "a/d.webm", "b.mp4"]
    only = scan(CorpusSettings(str(tmp_path), pattern="a/*.webm"))
    assert only["uri"].to_pylist() == ["a/d.webm"]


def test_a_folder_that_may_not_be_read_is_told(tmp_path, monkeypatch, caplog):
    (tmp_path / "closed").mkdir()
    for name in ("a.mp4", "closed/b.mp4"):
        (tmp_path / name).touch()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))  # a mode of 000 does not stop root
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert scan(CorpusSettings(str(tmp_path)))["uri"].to_pylist() == ["a.mp4"]
    assert "1 folder that cannot be read, nor their clips be seen (the first: closed: Permission denied)" in caplog.text


def test_an_id_knows_the_address_and_the_span_and_nothing_else():
    assert clip_id("é.mp4") == clip_id(unicodedata.normalize("NFD", "é.mp4"))
    assert len({clip_id("a"), clip_id("b"), clip_id("a", 0), clip_id("a", 0, 1), clip_id("a", None, 1)}) == 5
    assert clip_id("a", 1.0001) == clip_id("a", 1.0)
    assert len(clip_id("a")) == 32 and "." not in clip_id("a")


def test_a_source_version_changes_with_the_file(tmp_path):
    file = touch(tmp_path / "a.mp4")
    first = scan(CorpusSettings(str(tmp_path)))["source_version"][0].as_py()
    os.utime(file, ns=(1, 1))
    assert scan(CorpusSettings(str(tmp_path)))["source_version"][0].as_py() != first
    trusting = CorpusSettings(str(tmp_path), trust_size=True)
    assert scan(trusting)["source_version"][0].as_py() == "1"


def test_a_corpus_that_is_not_there_or_empty_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        scan(CorpusSettings(str(tmp_path / "none")))
    with pytest.raises(ValueError, match=r"no videos .* in "):
        scan(CorpusSettings(str(tmp_path)))
    with pytest.raises(ValueError, match="no manifest"):
        scan(CorpusSettings(str(tmp_path / "m.csv"), "manifest"))


def test_the_identity_is_the_same_however_the_folder_is_written(tmp_path):
    (tmp_path / "c").mkdir()
    assert corpus_identity(CorpusSettings(str(tmp_path / "c"))) == corpus_identity(
        CorpusSettings(str(tmp_path / "c" / ".." / "c"))
    )


def test_file_names_that_are_not_utf8_are_counted_and_named(tmp_path):
    touch(tmp_path / "notes\udcff.txt")
    touch(tmp_path / "a.mp4")
    assert scan(CorpusSettings(str(tmp_path)))["uri"].to_pylist() == ["a.mp4"]
    touch(tmp_path / "b\udcff.mp4")
    touch(tmp_path / "c\udce9" / "d.mp4")
    with pytest.raises(ValueError, match=r"2 files below .* not UTF-8: b\\xff\.mp4, c\\xe9/d\.mp4; rename them"):
        scan(CorpusSettings(str(tmp_path)))
    for number in range(10):
        touch(tmp_path / f"{number}\udcff.mp4")
    with pytest.raises(ValueError, match=r"12 files .*: 0\\xff.*4\\xff\.mp4, …; rename them"):
        scan(CorpusSettings(str(tmp_path)))


def test_names_that_only_look_alike_are_told_apart(tmp_path):
    names = [unicodedata.normalize(form, "café.mp4") for form in ("NFC", "NFD")]
    for name in names:
        touch(tmp_path / name)
    alike = r"1 pair of addresses .* Unicode normalisation only, .*: 'cafe\\u0301\.mp4' and 'caf\\xe9\.mp4'; rename"
    with pytest.raises(ValueError, match=alike):
        scan(CorpusSettings(str(tmp_path)))
    (tmp_path / "m.csv").write_text("\n".join(["path", "a.mp4", "a.mp4", *names, ""]))
    with pytest.raises(ValueError, match=alike):
        scan(CorpusSettings(str(tmp_path / "m.csv"), "manifest"))


def test_a_name_that_reads_like_a_span_of_another_file_does_not_look_like_it(tmp_path):
    (tmp_path / "m.csv").write_text("path,s,e\na.mp4,1,2\na.mp4#1000-2000,,\n")
    with pytest.raises(ValueError, match=r"1 clip is named more than once, the first 'a\.mp4'"):
        scan(CorpusSettings(str(tmp_path / "m.csv"), "manifest", start_column="s", end_column="e"))


@pytest.mark.parametrize("pattern", ["../*", "a/../../*", "/etc/*", "", "."])
def test_a_pattern_stays_below_the_folder(pattern):
    with pytest.raises(ValueError, match=r"corpus\.pattern must be a glob below"):
        CorpusSettings("clips", pattern=pattern)


def test_a_folder_that_is_a_manifest_is_told_so(tmp_path):
    for name in ("m.csv", "m.JSONL", "m.parquet"):
        with pytest.raises(ValueError, match=r"corpus\.kind: manifest"):
            scan(CorpusSettings(str(touch(tmp_path / name))))
    with pytest.raises(ValueError, match=r"is a file, not a folder of videos$"):
        scan(CorpusSettings(str(touch(tmp_path / "a.mp4"))))

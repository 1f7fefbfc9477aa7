from __future__ import annotations

import os
from collections import Counter

import pytest

from recap.corpus import CorpusSettings, scan
from recap.corpus.root import Root


@pytest.fixture
def linked(tmp_path):
    """A corpus with links to within (`in.mp4`, `inner`) and to without (`out.mp4`, `outer`)."""
    outside, corpus = tmp_path / "clips-outside", tmp_path / "clips"
    for folder in (outside, corpus / "v"):
        folder.mkdir(parents=True)
        (folder / "a.mp4").write_bytes(b"x")
    (corpus / "in.mp4").symlink_to("v/a.mp4")
    (corpus / "inner").symlink_to("v")
    (corpus / "out.mp4").symlink_to(outside / "a.mp4")
    (corpus / "outer").symlink_to(outside)
    return corpus


def test_a_listing_passes_over_links_that_leave_the_folder(linked):
    assert scan(CorpusSettings(str(linked)))["uri"].to_pylist() == ["in.mp4", "v/a.mp4"]
    one_deep = scan(CorpusSettings(str(linked), pattern="*/*.mp4"))
    assert one_deep["uri"].to_pylist() == ["inner/a.mp4", "v/a.mp4"]


@pytest.mark.parametrize("address", ["out.mp4", "outer/a.mp4", "outer/none.mp4"])
def test_a_row_whose_link_leaves_the_root_is_named(linked, address):
    manifest = linked / "m.csv"
    manifest.write_text("path\nin.mp4\ninner/a.mp4\n")
    assert scan(CorpusSettings(str(manifest), "manifest"))["uri"].to_pylist() == ["in.mp4", "inner/a.mp4"]
    manifest.write_text(f"path\nin.mp4\n{address}\n")
    with pytest.raises(ValueError, match=f"line 3 of .*'{address}' leads, by a link, out of the corpus root"):
        scan(CorpusSettings(str(manifest), "manifest"))


def test_a_linked_root_takes_absolute_addresses_in_both_spellings(tmp_path, linked):
    alias = tmp_path / "alias"
    alias.symlink_to(linked)
    for folder in (linked, alias):
        assert Root(alias).inside(str(folder / "v" / "a.mp4")) == "v/a.mp4"
    assert Root(alias).version("v/a.mp4").startswith("1-")
    with pytest.raises(ValueError, match="by a link, out of"):
        Root(alias).version("outer/a.mp4")
    assert scan(CorpusSettings(str(alias)))["uri"].to_pylist() == ["in.mp4", "v/a.mp4"]


def test_a_file_is_looked_at_once_however_many_spans_of_it_there_are(tmp_path, linked, monkeypatch):
    looks, real = Counter(), os.lstat

    def lstat(path, **kwargs):
        looks[os.path.basename(path)] += 1
        return real(path, **kwargs)

    manifest = linked / "m.csv"
    spans = [f"{file},{start}" for start in range(50) for file in ("v/a.mp4", "in.mp4", "none.mp4")]
    manifest.write_text("\n".join(["path,start", *spans]))
    monkeypatch.setattr(os, "lstat", lstat)
    scanned = scan(CorpusSettings(str(manifest), "manifest", start_column="start"))
    file, link, none = scanned["source_version"].to_pylist()[:3]
    assert file == link and file.startswith("1-") and none == "missing"
    assert looks["a.mp4"] <= 2 and looks["none.mp4"] == 1  # `in.mp4` leads to `a.mp4`


def test_an_address_is_normalised_and_stays_inside(tmp_path):
    root = Root(tmp_path)
    assert root.inside("./v//a.mp4") == "v/a.mp4"
    for address in ("../a.mp4", "v/../../a.mp4", f"{tmp_path}/../a.mp4", f"{tmp_path}-outside/a.mp4", ".", "a\0.mp4"):
        with pytest.raises(ValueError, match="the corpus root"):
            root.inside(address)


@pytest.mark.timeout(20)
def test_devices_and_pipes_are_neither_reached_nor_waited_for(linked):
    (linked / "zero.mp4").symlink_to("/dev/zero")
    os.mkfifo(linked / "pipe.mp4")
    assert scan(CorpusSettings(str(linked)))["uri"].to_pylist() == ["in.mp4", "pipe.mp4", "v/a.mp4"]
    manifest = linked / "m.csv"
    for address in ("/dev/zero", "/dev/stdin", "/proc/self/environ", "zero.mp4", "../../dev/zero"):
        manifest.write_text(f"path\n{address}\n")
        with pytest.raises(ValueError, match=r"line 2 of .* the corpus root"):
            scan(CorpusSettings(str(manifest), "manifest"))

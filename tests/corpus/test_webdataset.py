"""Clips in tars: what is listed, and what is said of the rest."""

from __future__ import annotations

import gzip
import tarfile

import pytest

from recap.corpus import CorpusSettings, scan

HEADER = tarfile.BLOCKSIZE


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tars").mkdir()
    return tmp_path / "tars"


def listed(folder, **settings):
    """The clips, and what is said about the rest."""
    told = []
    clips = scan(CorpusSettings(str(folder), kind="webdataset", **settings), told.append)
    return clips["uri"].to_pylist(), " ".join(told)


def test_videos_are_listed_tar_by_tar_in_the_order_they_lie_there(folder, write_tar):
    (folder / "deep").mkdir()
    write_tar(folder / "b.tar", {"z.mp4": b"1", "z.txt": b"an old caption", "z.json": b"{}", "a.webm": b"2"})
    write_tar(folder / "deep" / "a.TAR", {"./000/é .MP4": b"3", "/abs/../x.mov": b"4"})
    (folder / "b.parquet").touch()
    (folder / "none.tar").mkdir()
    expected = ["b.tar!/z.mp4", "b.tar!/a.webm", "deep/a.TAR!/000/é .MP4", "deep/a.TAR!/x.mov"]
    assert listed(folder) == (expected, "")
    assert listed(folder, pattern="*.tar") == (expected[:2], "")


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_whole_in_every_format(folder, write_tar, format):
    name = "/".join(["f" * 60] * 3) + "/ü.mp4"
    write_tar(folder / "a.tar", {name: b"1", "b.mp4": b"2"}, format=format)
    assert listed(folder)[0] == [f"a.tar!/{name}", "a.tar!/b.mp4"]


def test_folders_links_and_devices_are_no_clips(folder):
    with tarfile.open(folder / "a.tar", "w") as tar:
        for name, kind in (("d.mp4", tarfile.DIRTYPE), ("s.mp4", tarfile.SYMTYPE), ("c.mp4", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    with pytest.raises(ValueError, match=r"no videos \(pattern"):
        listed(folder)


def test_what_is_passed_over_in_tars_is_told_as_of_folders(folder, write_tar):
    write_tar(folder / "a.tar", {"a.mp4": b"1", "._a.mp4": b"mac", ".b.mp4": b"2", "c.y4m": b"3", "d.jpg": b"4"})
    clips, said = listed(folder)
    assert clips == ["a.tar!/a.mp4"]
    assert "1 hidden video (the first: .b.mp4" in said and "(.y4m 1; convert .y4m" in said and "2 " not in said


def test_a_version_changes_with_the_tar_unless_sizes_are_trusted(folder, write_tar):
    def versions(**settings):
        clips = scan(CorpusSettings(str(folder), kind="webdataset", **settings))
        return clips["source_version"].to_pylist()

    write_tar(folder / "a.tar", {"a.mp4": b"1", "b.mp4": b"22"})
    before, sizes = versions(), versions(trust_size=True)
    write_tar(folder / "a.tar", {"a.mp4": b"1", "b.mp4": b"33"})
    assert [version.split("-")[0] for version in before] == sizes == versions(trust_size=True) == ["1", "2"]
    assert not {*before} & {*versions()}


def test_a_tar_that_breaks_off_has_the_clips_before(folder, write_tar):
    write_tar(folder / "a.tar", {"a.mp4": b"1" * 2000, "b.mp4": b"2" * 2000, "c.mp4": b"3"})
    data = (folder / "a.tar").read_bytes()
    (folder / "a.tar").write_bytes(data[: data.index(b"2222") + 600])
    clips, said = listed(folder)
    assert clips == ["a.tar!/a.mp4", "a.tar!/b.mp4"]
    assert said == (
        f"passed over below {folder}: 1 tar that cannot be read to the end, nor all their clips be seen (the first: "
        "a.tar: unexpected end of data)"
    )


def test_a_header_that_is_damaged_is_not_taken_for_the_end(folder, write_tar):
    write_tar(folder / "a.tar", {"a.mp4": b"1", "b.mp4": b"2", "c.mp4": b"3"})
    data = bytearray((folder / "a.tar").read_bytes())
    data[2 * HEADER + 10] ^= 0xFF
    (folder / "a.tar").write_bytes(data)
    clips, said = listed(folder)
    assert clips == ["a.tar!/a.mp4"] and "a.tar: there is no header at byte 1024" in said


def test_tars_that_are_none_are_told(folder, write_tar):
    write_tar(folder / "b.tar", {"b.mp4": b"1"})
    (folder / "a.tar.gz").write_bytes(gzip.compress((folder / "b.tar").read_bytes()))
    assert "a.tar.gz: it is compressed, and no file is read from the middle of such: unpack it" in listed(folder)[1]
    (folder / "a.tar.gz").rename(folder / "a.tar")
    (folder / "e.tar").touch()
    clips, said = listed(folder)
    assert clips == ["b.tar!/b.mp4"] and "2 tars that cannot be read to the end" in said
    (folder / "b.tar").unlink()
    with pytest.raises(ValueError, match=r"no videos .*2 tars that cannot be read"):
        listed(folder)


def corrupted(data: bytes, size: bytes) -> bytes:
    """A tar whose first header claims a size, with the checksum that goes with it."""
    header = bytearray(data[:HEADER])
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[HEADER:]


@pytest.mark.parametrize("size", [b"\xff" * 11 + b"\0", b"\x80" + b"\0" * 3 + b"\xff" * 8], ids=["negative", "huge"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_no_size_that_a_header_claims_is_believed(folder, write_tar, size, kind):
    with tarfile.open(folder / "a.tar", "w") as tar:
        info = tarfile.TarInfo("a.mp4")
        info.type = kind
        tar.addfile(info)
    (folder / "a.tar").write_bytes(corrupted((folder / "a.tar").read_bytes(), size))
    write_tar(folder / "b.tar", {"b.mp4": b"1"})
    clips, said = listed(folder)
    assert clips[-1] == "b.tar!/b.mp4" and "a.tar: " in said


def test_a_header_behind_headers_without_end_is_refused(folder, write_tar):
    with tarfile.open(folder / "a.tar", "w") as tar:
        for _ in range(3000):
            info = tarfile.TarInfo("././@LongLink")
            info.type = tarfile.GNUTYPE_LONGNAME
            tar.addfile(info)
    write_tar(folder / "b.tar", {"b.mp4": b"1"})
    clips, said = listed(folder)
    assert clips == ["b.tar!/b.mp4"] and "a.tar: a header without sense" in said


def test_two_members_of_one_name_are_refused(folder, write_tar):
    write_tar(folder / "a.tar", {"a.mp4": b"1"})
    write_tar(folder / "a.tar", {"./a.mp4": b"2"}, mode="a")
    with pytest.raises(ValueError, match=r"1 clip is named more than once, the first 'a\.tar!/a\.mp4'"):
        listed(folder)


def test_names_that_are_not_utf8_are_refused(folder, write_tar):
    write_tar(folder / "a.tar", {"caf\udce9.mp4": b"1"}, format=tarfile.GNU_FORMAT)
    with pytest.raises(ValueError, match=r"caf\\xe9\.mp4 in a\.tar has a name that is not UTF-8"):
        listed(folder)


def test_a_folder_or_a_tar_that_is_named_as_the_other_kind_is_told_so(folder, write_tar):
    write_tar(folder / "a.tar", {"a.mp4": b"1"})
    with pytest.raises(ValueError, match=r"no videos .*\.tar 1; corpus\.kind: webdataset takes what is in tars"):
        scan(CorpusSettings(str(folder)))
    for kind in ("folder", "webdataset"):
        with pytest.raises(ValueError, match=r"corpus\.path: .*tars`, `corpus\.kind: webdataset` and .*: a\.tar`"):
            scan(CorpusSettings(str(folder / "a.tar"), kind=kind))


def test_a_link_to_a_tar_outside_is_passed_over(folder, write_tar, tmp_path):
    write_tar(tmp_path / "out.tar", {"a.mp4": b"1"})
    write_tar(folder / "b.tar", {"b.mp4": b"1"})
    (folder / "a.tar").symlink_to(tmp_path / "out.tar")
    clips, said = listed(folder)
    assert clips == ["b.tar!/b.mp4"] and "links that lead out" in said


def test_a_tar_that_may_not_be_read_is_told(folder, write_tar, monkeypatch):
    from pathlib import Path

    for name in ("a.tar", "b.tar"):
        write_tar(folder / name, {"b.mp4": b"1"})
    open_file = Path.open

    def locked(path, *args, **how):
        if path.name == "a.tar":
            raise PermissionError(13, "Permission denied", str(path))
        return open_file(path, *args, **how)

    monkeypatch.setattr(Path, "open", locked)
    clips, said = listed(folder)
    assert clips == ["b.tar!/b.mp4"] and "a.tar: Permission denied" in said

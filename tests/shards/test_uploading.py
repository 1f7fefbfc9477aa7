from __future__ import annotations

import tempfile

from recap.shards import writing


def test_what_a_killed_upload_left_goes_with_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = []

    def write(folder, *_):
        found.append((folder, [path.name for path in tmp_path.iterdir()]))
        raise OSError("stop here")

    monkeypatch.setattr(writing, "write_shard", write)
    for _ in range(2):
        try:
            writing.upload_shard(tmp_path, set(), "by")
        except OSError:
            (tmp_path / found[-1][0].name).mkdir()  # as if it had been killed
    assert found[1][1] == [found[1][0].name]

from __future__ import annotations

import pytest

from recap.pllava.hub import absolute_name, misnamed, resolve_checkpoint


@pytest.mark.parametrize(("name", "here"), [("models/tiny", True), ("pocket", False), ("./pocket", True)])
def test_what_lies_here_is_named_from_anywhere(tmp_path, monkeypatch, name, here):
    (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert absolute_name(name) == (str(tmp_path / name) if here else name)


@pytest.mark.parametrize("name", ["ermu2001/pllava-34b", "zero2", "", None])
def test_what_does_not_stays_as_it_is(name):
    assert absolute_name(name) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pocket", None),
        ("owner/name", None),
        ("Pocket", "did you mean pocket?"),
        ("./nowhere", "there is no folder ./nowhere, and it is no hub id"),
        ("nowhere", "no hub id (owner/name)"),
    ],
)
def test_what_can_be_no_checkpoint_is_refused_without_the_hub(name, said, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = misnamed(name)
    assert said in found if said else found is None
    if said:
        with pytest.raises(ValueError, match="there is no folder"):
            resolve_checkpoint(name)


def test_a_file_is_no_checkpoint(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner/name").touch()
    assert misnamed("owner/name")

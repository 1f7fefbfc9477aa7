from __future__ import annotations

import pytest

from recap.pllava.hub import absolute_name


@pytest.mark.parametrize(("name", "here"), [("models/tiny", True), ("pocket", False), ("./pocket", True)])
def test_what_lies_here_is_named_from_anywhere(tmp_path, monkeypatch, name, here):
    (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert absolute_name(name) == (str(tmp_path / name) if here else name)


@pytest.mark.parametrize("name", ["ermu2001/pllava-34b", "zero2", "", None])
def test_what_does_not_stays_as_it_is(name):
    assert absolute_name(name) == name

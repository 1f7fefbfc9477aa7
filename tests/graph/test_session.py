from __future__ import annotations

import os

import pytest

from recap.graph.session import _ungreeted


def test_ray_is_kept_from_saying_that_it_was_told_to_be_quiet_and_from_nothing_else(capfd):
    with pytest.raises(ConnectionError), _ungreeted():
        os.write(2, b"[2026 I 1 1] logging.cc:303: Set ray log level from environment variable X to 3\nno room\n")
        raise ConnectionError
    assert capfd.readouterr().err == "no room\n"

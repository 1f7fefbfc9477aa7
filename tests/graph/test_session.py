from __future__ import annotations

import os
import signal

import pytest

from recap.graph import session
from recap.graph.session import _same_handlers, _ungreeted, ray_session


def test_ray_is_kept_from_saying_that_it_was_told_to_be_quiet_and_from_nothing_else(capfd):
    with pytest.raises(ConnectionError), _ungreeted():
        os.write(2, b"[2026 I 1 1] logging.cc:303: Set ray log level from environment variable X to 3\nno room\n")
        raise ConnectionError
    assert capfd.readouterr().err == "no room\n"


def test_a_session_is_left_by_the_last_of_those_that_share_it(monkeypatch):
    began, left = [], []
    monkeypatch.setattr(session, "_USERS", [])
    monkeypatch.setattr(session, "_OURS", [])
    monkeypatch.setattr(session.ray, "is_initialized", lambda: bool(began) and not left)
    monkeypatch.setattr(session, "_begin_session", lambda address: began.append(address) or ["daemon"])
    monkeypatch.setattr(session, "_leave_session", left.append)
    first, second = ray_session(None), ray_session(None)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert began == [None] and not left
    second.__exit__(None, None, None)
    assert left == [["daemon"]]


def test_what_hears_signals_stays(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with _same_handlers():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert signal.getsignal(signal.SIGTERM) is before

from __future__ import annotations

import os
import signal
import socket
import subprocess
from unittest.mock import MagicMock

import psutil
import pytest

from recap.graph import session
from recap.graph.session import _require_cluster, _same_handlers, _ungreeted, leave_session, ray_session
from recap.graph.stopping import RayLost


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


def test_a_session_that_was_lost_is_left_later(monkeypatch):
    left = []
    monkeypatch.setattr(session, "_USERS", [])
    monkeypatch.setattr(session, "_OURS", [])
    monkeypatch.setattr(session.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(session, "_begin_session", lambda address: ["daemon"])
    monkeypatch.setattr(session, "_leave_session", left.append)
    with pytest.raises(RayLost), ray_session(None):
        raise RayLost
    assert not left
    leave_session()
    leave_session()
    assert left == [["daemon"]]


def test_a_cluster_of_another_version_is_refused(monkeypatch):
    def refuses(**_):
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.9.0\n    Python: 3.11.7\n")

    monkeypatch.setattr(session.ray, "init", refuses)
    monkeypatch.setattr(session, "_require_cluster", lambda address: None)
    told = r"ray\.address: auto cannot be joined: Version mismatch: The cluster was started with: Ray: 2\.9\.0 Python"
    with pytest.raises(ValueError, match=told):
        session._begin_session("auto")
    with pytest.raises(RuntimeError):
        session._begin_session(None)


def test_what_is_no_address_is_refused_by_its_setting():
    with pytest.raises(ValueError, match=r"ray\.address: foo cannot be joined: Invalid address"):
        session._begin_session("foo")


def test_what_hears_signals_stays(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with _same_handlers():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_cluster_that_the_environment_names_is_knocked_at_too(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    _require_cluster(None)
    with pytest.raises(ValueError, match="which RAY_ADDRESS names"):
        _require_cluster("auto")


def test_a_cluster_may_have_an_ipv6_address(monkeypatch):
    knocked = []
    monkeypatch.setattr(socket, "create_connection", lambda at, timeout: knocked.append(at) or socket.socket())
    _require_cluster("[fd00::7]:6379")
    assert knocked == [("fd00::7", 6379)]


def test_a_session_whose_leaving_was_broken_off_is_left_by_the_next_that_has_it(monkeypatch):
    left = []

    def breaks_off_once(daemons):
        left.append(daemons)
        if len(left) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(session, "_USERS", [])
    monkeypatch.setattr(session, "_OURS", [])
    monkeypatch.setattr(session.ray, "is_initialized", lambda: len(left) == 1)
    monkeypatch.setattr(session, "_begin_session", lambda address: ["daemon"])
    monkeypatch.setattr(session, "_leave_session", breaks_off_once)
    with pytest.raises(KeyboardInterrupt), ray_session(None):
        pass
    with ray_session(None):
        pass
    assert left == [["daemon"], ["daemon"]]


def test_what_ray_leaves_behind_goes_though_its_shutdown_is_broken_off(monkeypatch):
    with subprocess.Popen(["sh", "-c", "sleep 60 & wait"]) as daemon:
        agents = []
        while not agents:
            agents = psutil.Process(daemon.pid).children()
        monkeypatch.setattr(session.ray, "shutdown", MagicMock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            session._leave_session([psutil.Process(daemon.pid)])
        assert daemon.wait(20) is not None
    assert not psutil.wait_procs(agents, timeout=20)[1]


def test_ray_has_a_folder_with_a_short_name_where_the_systems_is_long(monkeypatch):
    for folder, expected in (("/tmp", {}), (f"/scratch/{'x' * 40}", {"_temp_dir": "/tmp/ray"})):
        monkeypatch.setattr("tempfile.tempdir", folder)
        assert session._short_folder() == expected

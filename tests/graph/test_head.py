from __future__ import annotations

import socket
import threading
import time

import pytest

from recap.graph import head


@pytest.fixture
def listening(monkeypatch):
    """A server's socket and its address; whoever knocks is impatient."""
    monkeypatch.setattr(head, "EVERY_S", 0.05)
    monkeypatch.setattr(head, "PATIENCE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, f"127.0.0.1:{server.getsockname()[1]}"


def watch(address: str) -> tuple[threading.Thread, threading.Event, threading.Event]:
    over, lost = threading.Event(), threading.Event()
    thread = threading.Thread(target=head._watch, args=(address, over, lost.set))
    thread.start()
    return thread, over, lost


def test_a_head_that_stops_answering_is_lost(listening):
    server, address = listening
    thread, _over, lost = watch(address)
    assert not lost.wait(1), "it answered"
    server.close()
    assert lost.wait(20)
    thread.join()


def test_the_end_of_the_work_ends_the_watch(listening):
    _server, address = listening
    thread, over, lost = watch(address)
    over.set()
    thread.join(20)
    assert not thread.is_alive() and not lost.is_set()


def test_a_knock_that_outlasts_the_work_loses_nothing(listening, monkeypatch):
    _server, address = listening
    knocks = iter([True])

    def answers(_):
        return next(knocks, None) or (over.wait(20) and False)

    monkeypatch.setattr(head, "PATIENCE_S", 0)
    monkeypatch.setattr(head, "answers", answers)
    over, lost = threading.Event(), threading.Event()
    thread = threading.Thread(target=head._watch, args=(address, over, lost.set))
    thread.start()
    time.sleep(0.3)
    over.set()
    thread.join(20)
    assert not thread.is_alive() and not lost.is_set()


def test_a_head_that_never_answers_is_not_watched(listening):
    server, address = listening
    server.close()
    thread, _over, lost = watch(address)
    thread.join(20)
    assert not thread.is_alive() and not lost.is_set()

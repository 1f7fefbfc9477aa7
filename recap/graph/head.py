"""Notices that the head of the Ray cluster (its GCS server) is gone: a minute later Ray ends ours without a word."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray

EVERY_S = 2.0
PATIENCE_S = 40.0  # a head that is started again is found again; Ray itself gives up after 60


@contextmanager
def watched_head(on_lost: Callable[[], None]) -> Iterator[None]:
    """Call `on_lost`, once and on a thread of its own, should the head stop answering inside. Ray must be joined.

    A head that never answers, as from behind a Ray Client, is not watched.
    """
    over = threading.Event()
    address = ray.get_runtime_context().gcs_address
    threading.Thread(target=_watch, args=(address, over, on_lost), name="head", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(address: str, over: threading.Event, on_lost: Callable[[], None]) -> None:
    if not answers(address):
        return
    heard = time.monotonic()
    while not over.wait(EVERY_S):
        if answers(address):
            heard = time.monotonic()
        elif time.monotonic() - heard > PATIENCE_S:
            if not over.is_set():
                on_lost()
            return


def answers(address: str) -> bool:
    """Whether something listens at host:port."""
    try:
        knock(address)
    except OSError:
        return False
    return True


def knock(address: str) -> None:
    """Raises OSError where nothing listens at host:port, ValueError where the port is no number."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()

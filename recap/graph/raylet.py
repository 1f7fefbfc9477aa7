"""Notices that Ray's own process on this machine, the raylet, is gone: from then on Ray may end ours without a word."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import ray


@contextmanager
def watched_raylet(on_lost: Callable[[], None]) -> Iterator[None]:
    """Call `on_lost`, once and on a thread of its own, should the raylet die inside. Ray must be joined.

    A connection to the raylet's socket ends with it, at once and however it dies.
    """
    over = threading.Event()
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(_socket_name())
        except OSError:  # a Ray Client has no raylet beside it
            yield
            return
        threading.Thread(target=_watch, args=(line, over, on_lost), name="raylet", daemon=True).start()
        try:
            yield
        finally:
            over.set()
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


def _watch(line: socket.socket, over: threading.Event, on_lost: Callable[[], None]) -> None:
    with suppress(OSError):
        while line.recv(1):
            pass
    if not over.is_set():
        on_lost()


def _socket_name() -> str:
    here = ray.get_runtime_context().get_node_id()
    return next(node["RayletSocketName"] for node in ray.nodes() if node["NodeID"] == here)

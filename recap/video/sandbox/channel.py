"""Framed messages between a reader and its child: a length, then JSON.

No pickle: what a child says comes from a process that has met hostile bytes.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

MAX_BYTES = 2**20
_LENGTH = struct.Struct("!I")


class Channel:
    """One end of a socket pair."""

    def __init__(self, end: socket.socket):
        self.end = end

    def send(self, message: dict[str, Any]) -> None:
        """Raises EOFError when the other end is gone."""
        text = json.dumps(message).encode()
        self.end.settimeout(None)
        try:
            self.end.sendall(_LENGTH.pack(len(text)) + text)
        except ConnectionError:
            raise EOFError("the other end is gone") from None

    def receive(self, deadline: float | None = None) -> dict[str, Any]:
        """The next message, by `deadline` of the monotonic clock.

        Raises TimeoutError, EOFError when the other end is gone, ValueError for what is no message.
        """
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size, deadline))
        if length > MAX_BYTES:
            raise ValueError(f"a message of {length} bytes")
        try:
            message = json.loads(self._take(length, deadline))
        except RecursionError:
            message = None
        if not isinstance(message, dict):
            raise ValueError("a message that is no object")
        return message

    def _take(self, count: int, deadline: float | None) -> bytes:
        taken = b""
        while len(taken) < count:
            # Past the deadline there is still a moment, as 0 would mean not to wait at all.
            self.end.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
            try:
                part = self.end.recv(count - len(taken))
            except ConnectionError:
                part = b""
            if not part:
                raise EOFError("the other end is gone")
            taken += part
        return taken

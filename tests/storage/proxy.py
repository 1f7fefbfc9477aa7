"""A proxy that makes the trouble that stores make, S3 or Google's."""

from __future__ import annotations

import re
import socket
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn

from .serving import Serving

SILENCE_S = 10
NAMED = re.compile(rb'"name": "([^"]+)"')
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Proxy(ThreadingMixIn, Serving):
    """Passes requests on to a port of this machine, unless told otherwise by `behave`."""

    daemon_threads = True

    def __init__(self, port: int, own_port: int = 0):
        super().__init__(("127.0.0.1", own_port), _Handler)
        self.port = port
        self.lock = threading.Lock()
        self.behave()

    def behave(
        self,
        *,
        busy: int = 0,
        drop_puts: int = 0,
        drop_answers: int = 0,
        refused: str = "\0",
        silent: int = 0,
        says: int = 0,
    ) -> None:
        """The next `busy` requests get a 503 and the next `silent` ones no answer; of the next `drop_puts` uploads
        half is read, of the next `drop_answers` uploads the answer is lost; every upload whose path has `refused`
        gets a 503; all requests get the status `says`."""
        with self.lock:
            self.busy, self.drop_puts, self.drop_answers, self.refused = busy, drop_puts, drop_answers, refused
            self.silent, self.says = silent, says
            self.seen: list[str] = []

    def takes(self, trouble: str) -> bool:
        """Whether a trouble is due; if so, it is one less."""
        with self.lock:
            left = getattr(self, trouble)
            setattr(self, trouble, max(0, left - 1))
            return left > 0

    def point_here(self, config_file: str) -> None:
        """Have boto come here."""
        with open(config_file, "w") as file:
            file.write(f"[default]\nregion = us-east-1\nendpoint_url = http://127.0.0.1:{self.server_port}\n")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for its headers to be acknowledged

    def log_message(self, *_) -> None:
        """Nothing."""

    def answer(self) -> None:
        proxy: Proxy = self.server
        uploads = self.command == "PUT" or self.path.startswith("/upload/")
        if uploads and proxy.takes("drop_puts"):
            self.rfile.read(int(self.headers["Content-Length"]) // 2)
            return self._hang_up()
        body = self._body()
        what = f"PUT {self._uploaded(body)}" if uploads else f"{self.command} {self.path}"
        proxy.seen.append(what)
        if proxy.takes("silent"):
            time.sleep(SILENCE_S)
            return self._hang_up()
        if proxy.says:
            return self._reply(proxy.says, {}, b"")
        if proxy.takes("busy") or (uploads and proxy.refused in what):
            return self._reply(503, {}, SLOW_DOWN)
        status, headers, content = self._pass_on(body)
        if uploads and proxy.takes("drop_answers"):
            return self._hang_up()
        return self._reply(status, headers, content)

    do_DELETE = do_GET = do_HEAD = do_PATCH = do_POST = do_PUT = answer

    def _uploaded(self, body: bytes) -> str:
        """The path; Google is told an object's name in the body."""
        named = NAMED.search(body)
        return f"{self.path} /{named[1].decode()}" if named and self.command == "POST" else self.path

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _pass_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection("127.0.0.1", self.server.port)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        connection.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    def _reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

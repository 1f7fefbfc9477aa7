"""A server that runs beside the tests."""

from __future__ import annotations

import threading
from http.server import HTTPServer


class Serving(HTTPServer):
    """Serves, on a thread of its own, while its context lasts."""

    def __enter__(self) -> Serving:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.shutdown()
        self.server_close()

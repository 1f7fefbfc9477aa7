"""A server that speaks as Google's store does: an emulator, and what Google does besides."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage

from .serving import Serving


class Google(Serving):
    """One request at a time, on `port` of this machine; objects are in memory."""

    def __init__(self, port: int):
        super().__init__(("127.0.0.1", port), partial(_Handler, _Objects(use_memory_fs=True)))


class _IsThereAlready(Exception):
    pass


class _Objects(Storage):
    must_be_new = False

    def create_file(self, bucket_name, file_name, content, file_obj, file_id=None):
        if self.must_be_new and file_name in self.objects.get(bucket_name, {}):
            raise _IsThereAlready
        super().create_file(bucket_name, file_name, content, _tagged(file_obj), file_id)

    def patch_object(self, bucket_name, file_name, file_obj):
        super().patch_object(bucket_name, file_name, _tagged(file_obj))


def _tagged(file_obj: dict) -> dict:
    """With an etag that changes with an object's metadata, too."""
    return file_obj | {"etag": f"{file_obj['generation']}/{file_obj['metageneration']}"}


class _Handler(RequestHandler):
    """Honours the condition that an object be new."""

    def do_POST(self) -> None:
        self._on_its_condition(super().do_POST)

    def do_PUT(self) -> None:
        self._on_its_condition(super().do_PUT)

    def _on_its_condition(self, answer: Callable[[], None]) -> None:
        self.storage.must_be_new = "ifGenerationMatch=0" in self.path
        try:
            answer()
        except _IsThereAlready:
            self.send_error(412)

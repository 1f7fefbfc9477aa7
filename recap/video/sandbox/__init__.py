"""Decoding in a child process: bytes that nobody has checked never meet the process that holds the model."""

from recap.video.sandbox.reader import SandboxedReader

__all__ = ["SandboxedReader"]

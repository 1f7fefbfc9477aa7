"""The reader that decodes in a child, and charges what kills the child to the file."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from recap.records import ClipError, FrameRequest, Frames
from recap.video.sandbox.process import DecoderProcess, NotStarted
from recap.video.sandbox.strike import Strike
from recap.video.settings import DecodeSettings
from recap.video.span import Span

log = logging.getLogger(__name__)
COMMAND = (sys.executable, "-P", "-m", "recap.video.sandbox.child")
CLIPS_PER_CHILD = 300  # whatever a decoder leaks does not grow for ever
STRIKES = STARTS = 2


class SandboxedReader:
    """Decodes in one long-lived child, started when first needed. Not for several threads at once.

    `command` starts a child; tests give one that misbehaves.
    """

    def __init__(self, settings: DecodeSettings, command: Sequence[str] | None = None):
        self.settings, self.command = settings, tuple(command or COMMAND)
        self._child: DecoderProcess | None = None
        self._replaced_core_s = 0.0

    def read(
        self,
        location: str,
        request: FrameRequest,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> Frames:
        """As `InProcessReader.read`. A clip that its child does not survive gets a second, fresh child
        with the same settings; then it is refused as `crashed`, `timeout`, `cpu_limit` or `memory_limit`.

        Raises ClipError, and RuntimeError when no child can be started, which is no fault of the clip's.
        """
        for number in range(1, STRIKES + 1):
            try:
                result = self._attempt(location, request, (start_s, end_s))
            except Strike as strike:
                last = strike.error
                said = f"; the decoder's last words: {strike.said}" if strike.said else ""
                log.warning("%s: strike %d of %d: %s%s", location, number, STRIKES, last, said)
                continue
            if isinstance(result, ClipError):
                raise result
            return result
        raise last

    @property
    def core_s(self) -> float:
        """Core-seconds that children have taken so far."""
        return self._replaced_core_s + (self._child.core_s if self._child else 0.0)

    def close(self) -> None:
        """End the child."""
        if self._child:
            self._end(self._child)
            self._child = None

    def _end(self, child: DecoderProcess) -> None:
        self._replaced_core_s += child.core_s
        child.close()

    def _attempt(self, location: str, request: FrameRequest, span: Span) -> Frames | ClipError:
        """Raises Strike. Whatever is raised, an interrupt too, the child does not see another clip."""
        child, self._child = self._child or self._start(), None
        try:
            result = child.read(location, request, span)
        except BaseException:
            self._end(child)
            raise
        if child.clips < CLIPS_PER_CHILD:
            self._child = child
        else:
            self._end(child)
        return result

    def _start(self) -> DecoderProcess:
        for _ in range(STARTS):
            try:
                child = DecoderProcess(self.settings, self.command)
            except (NotStarted, OSError) as error:
                words = str(error)
            else:
                log.debug("decoder %d started %s network", child.pid, "without" if child.offline else "with our")
                return child
        raise RuntimeError(f"the decoder's process cannot be started; its last words: {words}")

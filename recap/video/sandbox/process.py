"""One child process: how it is started, asked and ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import weakref
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import Any

from recap.imports import search_path
from recap.records import ClipError, FrameRequest, Frames
from recap.video.reader import MEMORY_LIMIT
from recap.video.sandbox.channel import Channel
from recap.video.sandbox.messages import answered, facts_in, question_of
from recap.video.sandbox.strike import CRASHED, TIMEOUT, Strike, strike_of
from recap.video.settings import DecodeSettings
from recap.video.span import Span

START_S = 300.0  # importing takes half a second, on a machine that has one to spare
END_S = 5.0
CPU_CLOCK = 2  # of a process, behind its id in Linux's numbers of clocks
TAIL_BYTES = 2000
# Nothing else of the environment, so that a child holds no credentials.
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "CUDA_VISIBLE_DEVICES")
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class NotStarted(Exception):
    """A child that ended, or said nothing, before it had seen a file; with its last words."""


class DecoderProcess:
    """A child that reads clips, until it is closed or this process ends. Raises NotStarted, OSError."""

    def __init__(self, settings: DecodeSettings, command: Sequence[str]):
        self.settings, self.clips, self._core_s = settings, 0, 0.0
        with ExitStack() as theirs, ExitStack() as ours:
            end, channel = map(ExitStack.enter_context, (ours, theirs), socket.socketpair())
            lifeline, _held = _pipe(theirs, ours)
            # Nonblocking, so that a decoder which says too much loses words and does not wait.
            self._printed, printed = _pipe(ours, theirs, os.O_NONBLOCK)
            # Without a name, so that nothing is left behind whoever is killed.
            self._memory = _owned(ours, os.memfd_create("recap-pixels"))
            self._channel = Channel(end)
            shared = {"channel": channel.fileno(), "lifeline": lifeline, "memory": self._memory}
            self._process = _start(command, shared, settings, printed)
            self._end = weakref.finalize(self, _end, self._process, ours.pop_all())
        self.offline = self._greet()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def core_s(self) -> float:
        """Core-seconds that the child has taken; once it has ended, what was seen last."""
        with suppress(OSError):
            self._core_s = time.clock_gettime(~self.pid << 3 | CPU_CLOCK)
        return self._core_s

    def read(self, location: str, request: FrameRequest, span: Span) -> Frames | ClipError:
        """One clip. Raises Strike when the child does not survive it; it is of no use after that."""
        self.last_words()
        self.clips += 1
        facts: dict[str, Any] = {}
        try:
            answer = self._ask(question_of(location, request, span), facts)
            result = answered(answer, request, self._memory)
        except TimeoutError:
            raise Strike(TIMEOUT, facts, said=self.last_words()) from None
        except EOFError:
            raise strike_of(self._exit_code(), self.last_words(), facts) from None
        except (AttributeError, KeyError, TypeError, ValueError):
            raise Strike(CRASHED, facts, "an answer that makes no sense", self.last_words()) from None
        if isinstance(result, ClipError) and result.kind == MEMORY_LIMIT:
            raise Strike(MEMORY_LIMIT, facts, said=self.last_words())
        return result

    def last_words(self) -> str:
        """The end of what the child has printed since it was last asked."""
        said = b""
        with suppress(BlockingIOError):
            while more := os.read(self._printed, 2**16):
                said = (said + more)[-TAIL_BYTES:]
        return said.decode(errors="replace").strip()

    def close(self) -> None:
        """End the child, whatever it is doing."""
        self._end()

    def _ask(self, question: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + self.settings.timeout_s
        self._channel.send(question)
        while "facts" in (answer := self._channel.receive(deadline)):
            facts.update(facts_in(answer["facts"]))
        return answer

    def _greet(self) -> bool:
        try:
            return bool(self._channel.receive(time.monotonic() + START_S)["offline"])
        except (EOFError, KeyError, TimeoutError, ValueError) as error:
            self._process.kill()
            words = self.last_words() or f"nothing on its stderr ({type(error).__name__})"
            self.close()
            raise NotStarted(words) from None

    def _exit_code(self) -> int:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(END_S)
        return -signal.SIGKILL  # it hung up without ending; closing will kill it


def _pipe(reader: ExitStack, writer: ExitStack, flags: int = 0) -> tuple[int, int]:
    """The end to read from and the end to write to, each closed with its owner."""
    read, write = os.pipe2(flags | os.O_CLOEXEC)
    return _owned(reader, read), _owned(writer, write)


def _owned(owner: ExitStack, descriptor: int) -> int:
    owner.callback(os.close, descriptor)
    return descriptor


def _start(command: Sequence[str], shared: dict[str, int], settings: DecodeSettings, printed: int) -> subprocess.Popen:
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    return subprocess.Popen(
        [*command, json.dumps(shared | {"settings": asdict(settings)})],
        pass_fds=tuple(shared.values()),
        stdin=subprocess.DEVNULL,
        stdout=printed,
        stderr=printed,
        env=environment | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(search_path())},
        process_group=0,  # Ctrl-C in a terminal is for us alone
    )


def _end(process: subprocess.Popen, shared: ExitStack) -> None:
    process.kill()
    shared.close()
    with suppress(subprocess.TimeoutExpired):  # stuck in a dead network drive
        process.wait(END_S)

"""What workers warn of, on its way to the driver: Ray itself keeps what they log in files that nobody looks at."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning in the words of its first time, and how often it was given, whatever it was of."""

    text: str
    times: int = 1


Warnings = Mapping[str, Warned]  # by their wording before anything is filled in


class Telling(logging.StreamHandler):
    """Gathers what recap warns of in this process, which goes to its stderr as it would without this handler."""

    def __init__(self) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)
        self._warned: dict[str, Warned] = {}
        logging.getLogger("recap").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        why = f": {record.exc_info[1]!r}" if record.exc_info else ""
        self._warned = together([self._warned, {record.msg: Warned(record.getMessage() + why)}])

    @property
    def warned(self) -> Warnings:
        """All of it so far."""
        return self._warned

    def close(self) -> None:
        """Nothing is gathered any more."""
        logging.getLogger("recap").removeHandler(self)
        super().close()


class Retelling:
    """Logs what a graph's workers warn of: the first of each wording as it comes, how many there were at the end."""

    def __init__(self) -> None:
        self._warned: Warnings = {}

    def hear(self, warned: Warnings) -> None:
        """`warned` is all that there was up to now."""
        for wording, each in warned.items():
            if wording not in self._warned:
                log.warning("a worker: %s", each.text)
        self._warned = warned

    def close(self) -> None:
        """No more will come."""
        for each in self._warned.values():
            if each.times > 1:
                log.warning("of this kind workers gave %d warnings: %s", each.times, each.text)


def together(all_warned: Iterable[Warnings]) -> dict[str, Warned]:
    """One sum of several workers' warnings."""
    found: dict[str, Warned] = {}
    for warned in all_warned:
        for wording, each in warned.items():
            before = found.get(wording)
            found[wording] = replace(before, times=before.times + each.times) if before else each
    return found

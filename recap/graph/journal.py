"""Which clips which worker has in hand. What is handed on was in the hands of a worker that died."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

CONVICTING = 2


@dataclass(frozen=True)
class Past:
    """How many workers died with a clip alone in hand, and how many of them crashed: were not killed from without."""

    alone: int = 0
    crashes: int = 0

    @property
    def is_deadly(self) -> bool:
        """Nothing would come of another try."""
        return self.alone >= CONVICTING

    @property
    def is_guilty(self) -> bool:
        """It is the clip that the workers died of, if others live."""
        return self.crashes >= CONVICTING


class Journal:
    """Kept outside the workers, which are known by names that no restarted one has again."""

    def __init__(self) -> None:
        self._held: dict[str, set[str]] = defaultdict(set)
        self._alone: dict[str, str] = {}
        self._crashed: set[str] = set()
        self.last_words = ""

    def begin(self, worker: str, clip_ids: Collection[str]) -> dict[str, Past]:
        """Those of `clip_ids` that other workers had when they died."""
        others = [name for name in self._held if name != worker]
        self._held[worker].update(clip_ids)
        pasts = {clip_id: self._past(clip_id, others) for clip_id in clip_ids}
        return {clip_id: past for clip_id, past in pasts.items() if past is not None}

    def _past(self, clip_id: str, others: Collection[str]) -> Past | None:
        alone = {name for name in others if self._alone.get(name) == clip_id}
        if alone or any(clip_id in self._held[name] for name in others):
            return Past(len(alone), len(alone & self._crashed))
        return None

    def alone(self, worker: str, clip_id: str | None) -> None:
        """From now on the worker has nothing else at work; with None, anything again."""
        self._alone.pop(worker, None)
        if clip_id is not None:
            self._alone[worker] = clip_id

    def crashed(self, worker: str, said: str = "") -> None:
        """It was not killed from without; `said` is why, where it could still say so."""
        self._crashed.add(worker)
        self.last_words = said or self.last_words

    def end(self, clip_ids: Collection[str]) -> None:
        """They are done, whoever had them."""
        for held in self._held.values():
            held.difference_update(clip_ids)

    def follow(self, other: Journal) -> None:
        """Know what `other` knows of workers that died."""
        self._alone, self._crashed, self.last_words = other._alone, other._crashed, other.last_words
        kept = {name: held for name, held in other._held.items() if held or name in other._alone}
        self._held = defaultdict(set, kept)

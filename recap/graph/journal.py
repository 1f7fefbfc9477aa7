"""Which clips which worker has in hand. What is handed on was in the hands of a worker that died."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection


class Journal:
    """Kept outside the workers, which are known by names that no restarted one has again."""

    def __init__(self) -> None:
        self._held: dict[str, set[str]] = defaultdict(set)
        self._alone: dict[str, str] = {}
        self._crashed: set[str] = set()

    def begin(self, worker: str, clip_ids: Collection[str]) -> dict[str, bool]:
        """Those of `clip_ids` that other workers had when they died, and whether one crashed with nothing beside."""
        self._held[worker].update(clip_ids)
        others = [name for name in self._held if name != worker]
        return {
            clip_id: any(self._alone.get(name) == clip_id for name in self._crashed)
            for clip_id in clip_ids
            if any(clip_id in self._held[name] for name in others)
        }

    def alone(self, worker: str, clip_id: str | None) -> None:
        """From now on the worker has nothing else at work; with None, anything again."""
        self._alone.pop(worker, None)
        if clip_id is not None:
            self._alone[worker] = clip_id

    def crashed(self, worker: str) -> None:
        """It was not killed from without."""
        self._crashed.add(worker)

    def end(self, clip_ids: Collection[str]) -> None:
        """They are done, whoever had them."""
        for held in self._held.values():
            held.difference_update(clip_ids)

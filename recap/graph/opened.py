"""What a worker opens when it starts, or why it could not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Stage = TypeVar("Stage")


class Refused(ValueError):
    """What the user can mend: no further attempt would go better."""


class NotOpened(RuntimeError):
    """Something else; a further attempt may."""


class Opened(Generic[Stage]):
    """A stage, or the error of making it, which is kept for whoever asks for the stage.

    An actor whose start fails would be started again, loading a model each time, and its reason would be lost on the
    way to the driver.
    """

    def __init__(self, make: Callable[[], Stage]):
        self._stage: Stage | None = None
        self._error: Exception | None = None
        try:
            self._stage = make()
        except ValueError as error:
            self._error = Refused(str(error))
        except OSError as error:
            self._error = error
        except Exception as error:
            self._error = NotOpened(f"it could not start: {error!r}")

    @property
    def stage(self) -> Stage:
        if self._error is not None:
            raise self._error
        assert self._stage is not None
        return self._stage

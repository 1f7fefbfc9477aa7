"""Who may use an engine beside others, and who must have it alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Any number together, or one alone. Who waits to be alone goes before those who come after."""

    def __init__(self) -> None:
        self._change = asyncio.Condition()
        self._together = self._waiting = 0
        self._is_alone = False

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Beside others who are together."""
        async with self._change:
            await self._change.wait_for(lambda: not self._is_alone and not self._waiting)
            self._together += 1
        try:
            yield
        finally:
            async with self._change:
                self._together -= 1
                self._change.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """With nobody beside."""
        async with self._change:
            self._waiting += 1
            try:
                await self._change.wait_for(lambda: not self._is_alone and not self._together)
                self._is_alone = True
            finally:
                self._waiting -= 1
                self._change.notify_all()
        try:
            yield
        finally:
            async with self._change:
                self._is_alone = False
                self._change.notify_all()

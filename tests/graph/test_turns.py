from __future__ import annotations

import asyncio

from recap.graph.turns import Turns


def test_one_alone_has_nobody_beside_and_does_not_wait_for_ever():
    turns, inside, seen = Turns(), set(), []

    async def together(name: str) -> None:
        async with turns.together():
            inside.add(name)
            seen.append(frozenset(inside))
            await asyncio.sleep(0.02)
            inside.discard(name)

    async def alone(name: str) -> None:
        async with turns.alone():
            inside.add(name)
            seen.append(frozenset(inside))
            await asyncio.sleep(0.02)
            assert inside == {name}
            inside.discard(name)

    async def late() -> None:
        await asyncio.sleep(0.01)
        await asyncio.gather(alone("A"), alone("B"), *(together(f"late {number}") for number in range(3)))

    async def all_of_them() -> None:
        await asyncio.gather(*(together(str(number)) for number in range(3)), late())

    asyncio.run(asyncio.wait_for(all_of_them(), 20))
    assert len(seen) == 8 and max(map(len, seen)) == 3
    first_late = next(place for place, names in enumerate(seen) if any(name.startswith("late") for name in names))
    assert {frozenset("A"), frozenset("B")} <= set(seen[:first_late])


def test_a_turn_that_fails_or_is_given_up_is_over():
    turns = Turns()

    async def fail(turn) -> None:
        async with turn():
            raise KeyError

    async def all_of_them() -> None:
        assert len(await asyncio.gather(fail(turns.alone), fail(turns.together), return_exceptions=True)) == 2
        async with turns.together():
            waiting = asyncio.create_task(fail(turns.alone))
            await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            async with turns.together():
                pass

    asyncio.run(asyncio.wait_for(all_of_them(), 20))

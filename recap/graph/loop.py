"""The graph as a plain loop in this process: the same stages, no Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from uuid import uuid4

from recap.graph.plan import WorkPlan
from recap.graph.sizing import local_machine
from recap.graph.stages import WITHHELD, CaptionStage, Decoded, DecodeStage, Receipt, WorkerLost
from recap.graph.stopping import Stop
from recap.graph.watcher import Watcher
from recap.records import Clip


def loop_round(clips: Iterable[Clip], watcher: Watcher, stop: Stop, *, plan: WorkPlan) -> Iterator[Receipt]:
    """Decode and caption `clips` in order, `engine.batch_size` at a time; a receipt for each, until `stop`.

    Raises WorkerLost when the engine ends, and OSError when the output cannot be written.
    """
    clips, decoded = iter(clips), 0
    with (
        closing(DecodeStage(plan)) as decode,
        closing(CaptionStage(plan, uuid4().hex)) as caption,
        asyncio.Runner() as runner,
    ):
        try:
            while not stop and (batch := list(islice(clips, plan.engine.slots))):
                pairs = [(clip, decode.decode(clip)) for clip in batch]
                decoded += len(pairs)
                watcher.on_decoded(decoded)
                yield from (Receipt(clip.clip_id, WITHHELD) for clip, frames in pairs if frames is None)
                yield from _captioned(runner, caption, [pair for pair in pairs if pair[1] is not None])
            if not stop:
                runner.run(caption.calibrate())
        finally:
            watcher.on_spent([decode.spent(), caption.spent()], local_machine(plan.engine.gpus_per_actor))


def _captioned(runner: asyncio.Runner, caption: CaptionStage, pairs: Sequence[Decoded]) -> list[Receipt]:
    try:
        return runner.run(caption.caption(pairs))
    except OSError:
        raise
    except Exception as error:
        raise WorkerLost(str(error)) from error

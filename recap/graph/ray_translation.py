"""The translation graph on Ray Data: one pool of translators."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NoReturn

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset
from ray.exceptions import RayError

from recap.engines import Watchdog
from recap.graph.joined import copies_a_node, joined_machine
from recap.graph.lifeline import end_surely
from recap.graph.opened import Opened
from recap.graph.ray_data import (
    Workers,
    blocks_of,
    dataset_of,
    in_time,
    packed,
    raise_what_ended,
    start_coordinator,
    stoppable,
    unpacked,
)
from recap.graph.reporter import Reporter
from recap.graph.sizing import translator_cpus
from recap.graph.stopping import Stop
from recap.graph.telling import Retelling
from recap.graph.translating import Captioned, TranslateStage, TranslationPlan, blocks

log = logging.getLogger(__name__)
HUNG = (
    "a translator has not moved for {:g} s and is taken for dead; if it was only slow, raise translation.stall_s or "
    "lower translation.batch_size"
)


def ray_translation(clips: Sequence[Captioned], stop: Stop, *, plan: TranslationPlan) -> Iterator[int]:
    """Translate on the joined cluster; how many clips are done each time some are, until `stop`.

    Raises WorkerLost and OutputFailed as `ray_round` does.
    """
    coordinator, retelling = start_coordinator(len(clips)), Retelling()
    workers = Workers(stop, len(clips) // plan.settings.actors)
    try:
        with workers, stoppable(stop, coordinator):
            for block in blocks_of(_graph(clips, plan, coordinator, workers)):
                retelling.hear(ray.get(coordinator.warned.remote()))
                yield sum(block["done"].to_pylist())
    except RayError as error:
        raise_what_ended(error, _last_words(coordinator))
    finally:
        if not stop.is_ray_lost:
            if said := _last_words(coordinator):
                log.warning("a translator was replaced: %s", said)
            with suppress(RayError):
                retelling.hear(*in_time(coordinator.warned.remote()))
            ray.kill(coordinator)
        retelling.close()


def _last_words(coordinator: ray.actor.ActorHandle) -> str:
    try:
        (known,) = in_time(coordinator.what_is_known.remote())
    except RayError:
        return ""
    return known.last_words


def _graph(
    clips: Sequence[Captioned], plan: TranslationPlan, coordinator: ray.actor.ActorHandle, workers: Workers
) -> Dataset:
    settings = plan.settings
    dealt = blocks(clips, len(clips), settings.actors)
    return dataset_of([pa.table({"clips": [packed(block)]}) for block in dealt]).map_batches(
        _Translate,
        fn_constructor_args=(plan, coordinator),
        compute=ActorPoolStrategy(size=settings.actors),
        num_cpus=translator_cpus(joined_machine(), settings),
        num_gpus=settings.gpus_per_actor,
        batch_size=1,  # a row is a block of clips
        batch_format="pyarrow",
        ray_remote_args_fn=workers.options,
    )


class _Translate:
    def __init__(self, plan: TranslationPlan, coordinator: ray.actor.ActorHandle):
        end_surely()
        self.coordinator, self.reporter, self.stall_s = coordinator, Reporter(coordinator), plan.settings.stall_s
        watch = Watchdog(self.stall_s, self._leave)
        copies = copies_a_node(plan.settings.actors)
        self.opened = Opened(lambda: TranslateStage(plan, self.reporter.name, watch, copies))

    def __call__(self, batch: pa.Table) -> pa.Table:
        stage = self.opened.stage
        (block,) = batch["clips"].to_pylist()
        is_closed = ray.get(self.coordinator.is_closed.remote())
        done = 0 if is_closed else stage.translate(unpacked(block))
        ray.get(self.reporter.report())  # before the last block is told of, and with it the end
        return pa.table({"done": [done]})

    def _leave(self) -> NoReturn:
        """As a crash would: a hung call cannot be interrupted."""
        said = HUNG.format(self.stall_s)
        log.error(said)
        try:
            in_time(self.coordinator.crashed.remote(self.reporter.name, said))
        finally:  # nor may one that is dead keep it
            os._exit(1)

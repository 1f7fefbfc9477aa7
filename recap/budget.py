"""What a run may spend: GPU-hours or money into the seconds after which it stops."""

from __future__ import annotations

import math
from dataclasses import dataclass

from recap.pipeline import Pipeline


@dataclass(frozen=True)
class Budget:
    """Most GPU-hours that caption actors may hold, most money that those may cost; None where it does not matter."""

    gpu_hours: float | None = None
    cost: float | None = None

    def seconds(self, pipeline: Pipeline) -> float | None:
        """How long `pipeline` may hold its GPUs, None for ever. Raises ValueError where that cannot be worked out."""
        if self.gpu_hours is None and self.cost is None:
            return None
        if not all(math.isfinite(each) for each in (self.gpu_hours, self.cost) if each is not None):
            raise ValueError("--max-gpu-hours and --max-cost take a number; leave them out for no limit")
        assert pipeline.engine.actors != "auto"
        gpus, price = pipeline.engine.actors * pipeline.engine.gpus_per_actor, pipeline.ray.price_per_gpu_hour
        if not gpus:
            raise ValueError("--max-gpu-hours and --max-cost bound what GPUs take, and engine.gpus_per_actor is 0")
        if self.cost is not None and price is None:
            raise ValueError("--max-cost wants ray.price_per_gpu_hour: what a GPU costs for an hour")
        hours = [self.gpu_hours, None if self.cost is None or price is None else self.cost / price]
        return 3600 * min(each for each in hours if each is not None) / gpus

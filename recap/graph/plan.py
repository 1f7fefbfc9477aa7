"""All that the stages need to know, in one picklable value."""

from __future__ import annotations

from dataclasses import dataclass

from recap.engines import EngineSettings, ModelSettings, PromptSettings
from recap.graph.settings import RaySettings
from recap.graph.translating import TranslationPlan
from recap.records import FrameRequest
from recap.review import ReviewSettings
from recap.storage import Location
from recap.video import DecodeSettings


@dataclass(frozen=True)
class WorkPlan:
    """One round's settings. `model.checkpoint` is a local folder by now (or empty in a rehearsal)."""

    request: FrameRequest
    decode: DecodeSettings
    model: ModelSettings
    model_name: str
    prompt: PromptSettings
    engine: EngineSettings
    ray: RaySettings
    review: ReviewSettings
    fragments: Location
    commit_every_s: float
    epoch: int
    caption_key: str
    review_key: str
    translations: tuple[TranslationPlan, ...] = ()

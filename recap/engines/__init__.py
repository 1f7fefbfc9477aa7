"""Engines: who writes the text, and the bridge that brings frames to them. Importing this needs no torch."""

from recap.engines.base import PROMPTS_PER_SLOT, Completion, EngineLost, EngineStalled, Request, complete
from recap.engines.captioner import Captioner
from recap.engines.fetching import check_fetched, fetch, fetched_bytes, fetched_digest, model_name
from recap.engines.front import RehearsalFront, prompt_texts
from recap.engines.opening import check_length, frame_request, open_captioner
from recap.engines.preflight import idle_cards, problems
from recap.engines.rehearsal import RehearsalEngine
from recap.engines.second import Retry
from recap.engines.settings import EngineSettings, ModelSettings, PromptSettings
from recap.engines.watchdog import UNWATCHED, Watchdog

__all__ = [
    "PROMPTS_PER_SLOT",
    "UNWATCHED",
    "Captioner",
    "Completion",
    "EngineLost",
    "EngineSettings",
    "EngineStalled",
    "ModelSettings",
    "PromptSettings",
    "RehearsalEngine",
    "RehearsalFront",
    "Request",
    "Retry",
    "Watchdog",
    "check_fetched",
    "check_length",
    "complete",
    "fetch",
    "fetched_bytes",
    "fetched_digest",
    "frame_request",
    "idle_cards",
    "model_name",
    "open_captioner",
    "problems",
    "prompt_texts",
]

"""The review of captions while their clip is at hand."""

from __future__ import annotations

from recap.engines import EngineSettings, PromptSettings, Retry
from recap.pllava.prompts import resolve_instruction, resolve_system
from recap.records import Caption
from recap.review import Context, ReviewSettings, identify_language, keep_better, repair_for, review

WORDS_TO_TOKENS = 2  # at most, of the words that `review.repair_instruction` adds to a prompt


class CaptionReviewer:
    """Looks at captions under the settings of a pipeline; see `recap.engines.second.Reviewer`."""

    def __init__(self, settings: ReviewSettings, prompt: PromptSettings, engine: EngineSettings):
        self.settings, self.engine = settings, engine
        self.contexts = contexts(settings, prompt)
        identify_language("ready")  # loads now, and not beside the first caption

    @property
    def headroom(self) -> int:
        """Positions that a second attempt may need beyond the first."""
        if not self.settings.repair:
            return 0
        longer = round((self.settings.repair_length - 1) * self.engine.max_new_tokens)
        return longer + WORDS_TO_TOKENS * len(self.settings.repair_instruction.split())

    def look(self, caption: Caption) -> Caption:
        return review(caption, self.contexts[caption.prompt])

    def retry(self, caption: Caption) -> Retry | None:
        repair = repair_for(caption.flags, caption.finish_reason, self.settings)
        if repair is None:
            return None
        decoding = repair.decoding(self.engine.max_new_tokens, self.engine.repetition_penalty)
        asked = self.contexts[caption.prompt].instruction
        return Retry(**decoding, instruction=repair.instruction(self.settings, asked))

    def better(self, first: Caption, second: Caption) -> Caption:
        return keep_better(first, second)


def contexts(settings: ReviewSettings, prompt: PromptSettings) -> dict[str, Context]:
    """What captions are judged against, by the name of their prompt."""
    system = resolve_system(prompt.system)
    return {name: Context(settings, resolve_instruction(text), system) for name, text in prompt.instructions.items()}

"""The YAML's `review` section."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Literal

from recap.bounds import Bounds, Share, Whole

NAMES = (
    "echo",
    "empty",
    "lost_colours",
    "lost_numbers",
    "mixed_scripts",
    "near_duplicate",
    "off_length",
    "refusal",
    "repetition",
    "stock_opening",
    "too_long",
    "too_short",
    "truncated",
    "wrong_language",
)
WORDS = {"dense": (25, 400), "medium": (8, 150), "short": (3, 60)}
WORDS_OF_OTHERS = (3, 600)
Several = Annotated[int, Bounds(ge=2)]


@dataclass(frozen=True)
class ReviewSettings:
    """Which captions are fit to train on, and what happens to the others."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    repair: bool = True
    """Ask the model once more, decoding differently, for a caption that fails; the better one is kept."""
    on_fail: Literal["keep", "filter"] = "keep"
    """What still fails stays among the captions with its flags (`keep`) or goes to the filtered ones (`filter`)."""
    tolerate: tuple[str, ...] = ("near_duplicate", "stock_opening")
    """Flags that are noted without failing a caption."""
    trim_openings: bool = False
    """Deliver captions without a stock opening such as "The video shows"; fragments keep it."""
    words: dict[str, tuple[int, int]] | None = None
    """Fewest and most words by the prompt's name, as `{dense: [25, 400]}`. When absent: dense 25 to 400, medium 8 to
    150, short 3 to 60; a prompt without an entry 3 to 600. Two Chinese characters count as a word."""
    loop_words: Several = 6
    """A run of words that only repeats the words before it is a loop from this length on."""
    loop_times: Several = 4
    """How often the repeated piece must occur in such a run."""
    repeated_share: Share = 0.2
    """The share of a caption's words that may lie in sentences already said."""
    compression_ratio: Annotated[float, Bounds(gt=1)] = 3.0
    """How many times smaller zlib may make a caption; one that packs better says the same again and again. No caption
    reaches 1000."""
    echo_words: Several = 8
    """This many of the prompt's words in a row are an echo."""
    foreign_letters: Whole = 0
    """Letters of another script that may stand outside quotation marks."""
    latin_share: Share = 0.4
    """The share of Latin words that a text in another script may have: brands, names, units."""
    language_probability: Share = 0.001
    """Below this probability of being in its language, by the identifier, a caption is in another one."""
    duplicate_similarity: Share = 0.8
    """Captions that share this part of their three-word pieces are near-duplicates; the first one is not flagged. 0
    looks for none."""
    length_ratio: tuple[float, float] = (0.5, 1.6)
    """A translation's least and most words for each word of its caption; two Chinese characters count as a word."""
    repair_penalty: Annotated[float, Bounds(ge=1, le=10)] = 1.15
    """`engine.repetition_penalty` when a caption repeated itself."""
    repair_length: Annotated[float, Bounds(ge=1, le=8)] = 2.0
    """By how much `engine.max_new_tokens` grows when a caption was cut off by it."""
    repair_instruction: str = "{instruction} Answer in {language}, with nothing but the description."
    """The other prompt, for captions that no change of decoding helps."""

    def __post_init__(self):
        for flag in self.tolerate:
            if flag not in NAMES:
                near = get_close_matches(flag, NAMES, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(NAMES)}"
                raise ValueError(f"review.tolerate: there is no flag {flag!r}; {hint}")
        unknown = set(re.findall(r"{\w+}", self.repair_instruction)) - {"{instruction}", "{language}"}
        where = "words that hold nothing to be replaced but {instruction} and {language}"
        _require(not unknown, "repair_instruction", where, self.repair_instruction)
        least, most = self.length_ratio
        _require(0 < least < most, "length_ratio", "the least and the most", list(self.length_ratio))
        for prompt, (least, most) in (self.words or {}).items():
            _require(0 <= least <= most, f"words.{prompt}", "fewest and most words", [least, most])

    def bounds(self, prompt: str) -> tuple[int, int]:
        """Fewest and most words of a caption for the prompt of that name."""
        return (self.words or {}).get(prompt) or WORDS.get(prompt, WORDS_OF_OTHERS)


def _require(holds: bool, name: str, allowed: str, value: object) -> None:
    if not holds:
        raise ValueError(f"review.{name} must be {allowed}, not {value}")

"""Captions that say nothing, and captions that stop before they are done."""

from __future__ import annotations

import re

from recap.review.context import Context
from recap.review.draft import STOPS, Draft
from recap.review.language import reads_english

_LEFTOVERS = re.compile(
    r"<[^<>]{0,20}>|\[/?[A-Z]{2,8}\]|\b(?:user|assistant|human|system|answer|caption|description|output|response)\s*:"
    r"|\b(?:n/?a|none|null|nan|nil|undefined|empty|unknown|no caption|no description)\b|(?:无|暂无描述|空)(?=\W*$)",
    re.I,
)
_FINAL = re.compile(f"[{STOPS}。！？]$")
_WITHOUT_STOPS = {"lo", "th"}
_TRAILING_OFF = re.compile(r"(?:\.{2,}|…|[,，、;；:：\-–—(（\[“‘「&/])$")
_SYMBOLS = re.compile("(?:[\\s\u200b-\u200f\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]|[0-9#*]\ufe0f?\u20e3){1,16}$")
_LOW_QUOTED = re.compile("„([^“”]*)[“”]")
_INCHES = re.compile(r"\d\"")
_CLOSERS = "\"'”’」』》»)）]*_`"
_OPEN_AND_CLOSE = ("“”", "「」", "『』", "《》", "()", "（）", "[]")
_DANGLING_ALWAYS = frozenset("the a an and or but their its my your".split())
_DANGLING = _DANGLING_ALWAYS | frozenset(
    "of with to in on at by for from into as while that which who whose his is are was were has have being very"
    " then".split()
)
_FRAGMENT_WORDS = 20  # a single line up to this long may do without a full stop


def is_empty(draft: Draft, context: Context) -> bool:
    """No word is left once special tokens, role labels and placeholders are taken away."""
    return len(draft.text) < 200 and not re.search(r"[^\W\d_]", _LEFTOVERS.sub(" ", draft.text))


def is_truncated(draft: Draft, context: Context) -> bool:
    """The engine stopped it at its limit, or its last sentence has no end."""
    return draft.caption.finish_reason == "length" or not is_finished(draft)


def is_finished(draft: Draft) -> bool:
    """The text ends as a sentence, a closed quotation, a list or a short title does."""
    text = _LOW_QUOTED.sub(r"“\1”", _SYMBOLS.sub("", draft.text.strip()).rstrip("*_`"))
    language = draft.caption.language
    bare = text.rstrip(_CLOSERS).rstrip()
    quoted_end = len(bare) < len(text)
    if _TRAILING_OFF.search(bare):
        return quoted_end and _balanced(text)
    last = draft.words[-1] if draft.words and reads_english(language) else ""
    if _FINAL.search(bare):
        return last not in _DANGLING_ALWAYS and _balanced(text)
    if quoted_end:
        return _balanced(text)
    return language in _WITHOUT_STOPS or (last not in _DANGLING and _needs_no_stop(draft))


def _needs_no_stop(draft: Draft) -> bool:
    """A lone short line or a list whose other lines have no full stop either."""
    lines = [line.strip() for line in draft.text.strip().splitlines() if line.strip()]
    if len(lines) > 1:
        return not _FINAL.search(lines[-2])
    return len(draft.sentences) == 1 and len(draft.words) <= _FRAGMENT_WORDS


def _balanced(text: str) -> bool:
    """Every quotation mark and bracket that opens near the end closes."""
    marks = text.count('"') - len(_INCHES.findall(text)) if text.count('"') % 2 else 0
    return marks % 2 == 0 and all(text.count(pair[0]) <= text.count(pair[1]) for pair in _OPEN_AND_CLOSE)

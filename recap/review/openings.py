"""Openings that say that there is a video before they say what is in it."""

from __future__ import annotations

import re

from recap.review.context import Context
from recap.review.draft import Draft
from recap.review.settings import ReviewSettings

_THING = (
    r"(?:(?:short|brief|given|provided|entire|whole|animated) )?"
    r"(?:video|clip|footage|scene|image|picture|film|sequence|recording|shot)(?: (?:clip|footage|sequence|recording))?"
)
_VERB = (
    r"(?:(?:mainly|primarily|vividly|simply) )?(?:shows?|depicts?|features?|captures?|showcases?|presents?|displays?"
    r"|portrays?|illustrates?|contains?|documents?|highlights?|follows|focuses on|revolves around|is about|consists of"
    r"|includes|provides|takes place|is of|appears to (?:show|be|depict|feature)"
    r"|(?:begins|starts|opens|commences|kicks off)(?: with| by showing| on)?)"
)
_ON_A_SCREEN = r"(?:plays|runs|is (?:shown|projected)) on"
_ON_A_WALL = r"(?:hangs|is (?:hung|painted)) (?:on|in|above|over|from|behind)|covers (?:the|a|one|most)"
_THAT_IS_SEEN = rf"(?![^.]{{0,60}}\b(?:{_ON_A_SCREEN}|{_ON_A_WALL})\b)"
_ENGLISH = (
    rf"(?:the|this) {_THING},? (?:that )?{_VERB}",
    rf"in (?:the|this) {_THING}(?: shows?)?,(?: (?:we (?:can )?see|you (?:can )?see|there (?:is|are)|it shows))?",
    rf"in (?:the|this) {_THING} (?:we (?:can )?see|you (?:can )?see|there (?:is|are))",
    rf"(?:this is|here is|here's) an? {_THING} (?:of|showing|that shows|in which|featuring)",
    rf"an? {_THING} (?:of|showing|that shows|featuring|depicting){_THAT_IS_SEEN}",
    r"(?:we|you) (?:can )?(?:see|are shown|observe)",
    r"(?:sure|certainly|of course|okay)[,!.]? ?(?:here(?: is|'s|’s)[^:]{0,80}:)?",
    r"here(?: is|'s|’s) (?:a|the|my)[^:.]{0,80}(?:description|caption|summary|paragraph)[^:.]{0,60}:",
    rf"(?:{_THING} )?(?:description|caption|summary)\s*:",
    rf"based on the (?:provided )?{_THING}s?,|the frames? (?:shows?|depicts?|captures?)",
)
_CHINESE = (
    r"(?:在)?(?:这|该|本|此)?(?:个|段|部|则)?(?:视频|短片|影片|片段|画面|镜头|录像|场景)(?:中|里|内)?(?:主要|首先|一开始)?"
    r"(?:展示|显示|描绘|呈现|记录|拍摄|捕捉|展现|讲述|描述|以|从|是关于|出现|我们(?:可以)?看到|可以看到|开始|的?一?开[始头][，,])(?:了|的是|着)?",
    r"(?:在)?(?:这|该|本|此)(?:个|段|部|则)?(?:视频|短片|影片|片段|画面|镜头|录像)(?:中|里|内)?[，,]",
    r"在(?:视频|短片|影片|片段|画面|镜头)(?:中|里|内)[，,]",
    r"我们(?:可以)?看到|(?:视频|画面)(?:描述|说明)?[：:]",
)
_LEAD = r"^[\s\"'“*#-]*"
_OPENING = re.compile(rf"{_LEAD}(?:(?:{'|'.join(_ENGLISH)})(?!\w)|(?:{'|'.join(_CHINESE)}))[\s,，:：]*", re.I)
_CANNOT_START = re.compile(r"(?:how|that|what|why|when|where|by|off|to|and|of|with|for|from|out|up)\b|[^\w\"“(]", re.I)


def has_stock_opening(draft: Draft, context: Context) -> bool:
    """The caption begins by speaking of the video."""
    return _OPENING.match(draft.text) is not None


def delivered_text(text: str, settings: ReviewSettings) -> str:
    """A caption's text as it leaves the house: trimmed where `review.trim_openings` says so."""
    return trim_opening(text) if settings.trim_openings else text


def trim_opening(text: str) -> str:
    """The text without its stock opening, beginning with a capital; as it is where nothing whole would remain."""
    match = _OPENING.match(text)
    rest = text[match.end() :] if match else ""
    if len(rest) < 8 or _CANNOT_START.match(rest) or match[0].endswith(("以", "从")):
        return text
    return rest[0].upper() + rest[1:]

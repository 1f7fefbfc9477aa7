"""Prompts as the published models saw them: conversation templates and our own texts, kept as data.

`templates.json` holds for each template where the system text goes, the turns around the query, and the
`lead_in` that opens a given answer (only the question-answering templates have one).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

IMAGE = "<image>"


def _data(name: str) -> dict[str, Any]:
    return json.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


_SHOWING = re.compile(rf"(?P<role>\w+: ?|<\|im_start\|>user\n){IMAGE}\s*(?:<\|im_end\|>\n)?(?P=role)?")
TEMPLATES: Mapping[str, Mapping[str, str]] = _data("templates.json")
INSTRUCTIONS: Mapping[str, str] = _data("texts.json")["instruction"]
SYSTEMS: Mapping[str, str] = _data("texts.json")["system"]


def render_prompt(template: str, system: str, instruction: str, pre: str = "", post: str = "", answer: str = "") -> str:
    """The prompt text for one clip, ready for the tokenizer (which adds its own first token).

    `system`, `pre` and `post` (around the instruction) and `answer` (the beginning of the reply) fill the
    slots that the template has, see `template_slots`; as in the reference, a text without a slot is left out.
    In the question-answering templates a `pre` or `answer` brings the line breaks that belong to it.
    ValueError for an unknown template or texts that bring an image token of their own.
    """
    data = _named(TEMPLATES, template, "prompt template")
    query, reply = instruction, ""
    if lead_in := data["lead_in"]:
        post = post or (lead_in if pre or answer else "")
        query = " ".join(part for part in (pre, instruction, post) if part)
        reply = answer if not answer or answer.startswith(lead_in) else lead_in + answer
    head = data["system"].replace("{system}", system) if system else ""
    prompt = head + data["turns"].replace("{query}", query) + reply
    if prompt.count(IMAGE) != 1:
        raise ValueError(f"the template places {IMAGE} itself: remove it from the system, instruction or other texts")
    return prompt


def render_text_prompt(template: str, instruction: str) -> str:
    """A prompt of that template about no clip: without the turn, or the place in one, that shows it."""
    return _SHOWING.sub(_role_alone, render_prompt(template, "", instruction))


def _role_alone(match: re.Match[str]) -> str:
    role = match["role"]
    return role if role.endswith("\n") else f"{role.rstrip()} "


def template_slots(template: str) -> tuple[str, ...]:
    """Which of `system`, `pre`, `post` and `answer` the template has a place for. ValueError if unknown."""
    data = _named(TEMPLATES, template, "prompt template")
    return (("system",) if data["system"] else ()) + (("pre", "post", "answer") if data["lead_in"] else ())


def resolve_instruction(text: str) -> str:
    """The shipped instruction of that name (`dense`, `medium`, `short`), else `text` itself.

    ValueError for a single word that is no such name: a misspelt name must not become a prompt.
    """
    return _name_or_text(INSTRUCTIONS, text, "instruction")


def resolve_system(text: str) -> str:
    """The shipped system text of that name (`captioner`), else `text` itself; empty stays empty."""
    return _name_or_text(SYSTEMS, text, "system text")


def _name_or_text(texts: Mapping[str, str], text: str, what: str) -> str:
    is_name = text.isascii() and text.isidentifier()
    return _named(texts, text, what) if is_name else text


def _named(table: Mapping[str, Any], name: str, what: str) -> Any:
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(table)}"
    raise ValueError(f"there is no {what} {name!r}; {hint}")

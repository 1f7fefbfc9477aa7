from __future__ import annotations

import json
from pathlib import Path

import pytest

from recap.pllava import render_prompt, resolve_instruction, resolve_system, template_slots
from recap.pllava.prompts import INSTRUCTIONS, TEMPLATES


def test_every_template_equals_the_reference(golden):
    expected = json.loads((golden / "frontend" / "prompts.json").read_text())
    for key, text in expected.items():
        template, _, filled = key.partition("+")
        slots = {"pre": "PRE", "post": "\n", "answer": "\nANSWER"} if filled else {}
        assert render_prompt(template, "SYSTEM", "INSTRUCTION", **slots) == text
    assert {key.partition("+")[0] for key in expected} | {"plain_human"} == set(TEMPLATES)


def test_the_papers_probe_has_other_role_tags():
    ours, theirs = (render_prompt(name, "", "Go.") for name in ("plain", "plain_human"))
    assert theirs == ours.replace("USER", "Human").replace("ASSISTANT", "Assistant")


def test_an_answer_brings_its_line_breaks():
    text = render_prompt("eval_videoqabench", "", "Who?", answer="Answer: In the video,")
    assert text == "USER: <image>\n Who? \n ASSISTANT:\nAnswer: In the video,"


def test_empty_system_leaves_no_separator():
    assert render_prompt("eval_recaption", "", "Go.") == "USER: <image>\n USER: Go. ASSISTANT:"


def test_slots_say_what_a_template_can_hold():
    assert template_slots("plain") == ()
    assert template_slots("eval_recaption") == ("system",)
    assert template_slots("eval_videoqa_llavanext") == ("system", "pre", "post", "answer")


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ValueError, match="no prompt template 'eval_vcg_llava_next'; did you mean 'eval_vcg_llavanext'"):
        render_prompt("eval_vcg_llava_next", "", "x")
    with pytest.raises(ValueError, match="no instruction 'dens'; did you mean 'dense'"):
        resolve_instruction("dens")


def test_names_and_texts():
    assert resolve_instruction("short") == INSTRUCTIONS["short"]
    assert resolve_instruction("Describe the cat.") == "Describe the cat."
    assert resolve_system("") == ""
    assert "caption" in resolve_system("captioner")


def test_a_second_image_token_is_refused():
    with pytest.raises(ValueError, match="places <image> itself"):
        render_prompt("plain", "", "Look at <image>.")


def test_braces_in_texts_are_plain_text():
    assert render_prompt("plain", "", "{query} {system}") == "USER:<image> {query} {system} ASSISTANT:"


def test_every_template_stands_in_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "model.md").read_text(encoding="utf-8")
    assert [name for name in TEMPLATES if f"`{name}`" not in page] == []

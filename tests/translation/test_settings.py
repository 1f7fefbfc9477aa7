from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from recap.translation import TranslationSettings


@pytest.mark.parametrize("instruction", ["{text} {langauge}", "<image> {text}", "Translate."])
def test_an_instruction_holds_the_caption_and_no_other_place(instruction):
    with pytest.raises(ValueError, match=r"translation\.instruction"):
        TranslationSettings(instruction=instruction)


def test_braces_that_are_no_place_are_left_alone():
    assert TranslationSettings(instruction='Answer as {"zh": …} {text}').instruction


@pytest.mark.parametrize("gpus", [-0.5, 1.5, 2])
def test_a_copy_takes_one_gpu_at_most(gpus):
    with pytest.raises(ValidationError, match="gpus_per_actor"):
        TypeAdapter(TranslationSettings).validate_python({"gpus_per_actor": gpus})

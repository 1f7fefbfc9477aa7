from __future__ import annotations

import pytest

from recap.review import Context, ReviewSettings, identify_language
from recap.review.language import has_mixed_scripts, is_wrong_language, own_share, script_counts

ENGLISH = "A woman in a red coat crosses the bridge with a small dog."
GERMAN = "Eine Frau steht in einer hellen Küche und schneidet Gemüse auf einem Holzbrett."
CHINESE = "一名女子站在厨房里，把切好的胡萝卜放进锅中。"
JAPANESE = "台所で女性が野菜を切っています。窓の外では雨が降っています。"


@pytest.mark.parametrize(
    "text, language, wrong",
    [
        (ENGLISH, "en", False),
        (GERMAN, "en", True),
        (GERMAN, "de", False),
        (CHINESE, "en", True),
        (CHINESE, "zh", False),
        (ENGLISH, "zh", True),
        (JAPANESE, "zh", True),
        (JAPANESE, "ja", False),
        (f"{ENGLISH} The light is soft. {GERMAN} Ein Kind läuft durch den Garten.", "en", True),
        ("Fisch!", "en", False),  # too short to tell
    ],
)
def test_the_captions_language(draft, context, text, language, wrong):
    assert is_wrong_language(draft(text, language=language), context) == wrong


def test_what_is_quoted_may_be_in_any_language(draft, context):
    assert not is_wrong_language(draft(f'{ENGLISH} A voice says "{GERMAN}"'), context)


def test_the_probability_asked_for_is_a_setting(draft):
    context = Context(ReviewSettings(language_probability=0.5), identify=lambda text: {"de": 0.6, "en": 0.4})
    assert is_wrong_language(draft(ENGLISH), context)
    assert not is_wrong_language(draft(ENGLISH), Context(identify=context.identify))


def test_a_language_that_the_identifier_does_not_know_is_not_judged(draft):
    assert not is_wrong_language(draft(ENGLISH, language="tlh"), Context(identify=lambda text: {"en": 1.0}))


@pytest.mark.parametrize(
    "text, language, mixed",
    [
        (ENGLISH, "en", False),
        ("Señora Núñez eats crème brûlée.", "en", False),
        ("The road is still 真 wet.", "en", True),
        ("She waits at the двери with a dog.", "en", True),
        ('A sign says "出口".', "en", False),
        ("The lantern reads 焼き鳥, and a cook waves.", "en", False),
        ("A bowl of noodles (ラーメン) steams.", "en", False),
        ("An Ω on a resistor is filmed from near.", "en", False),
        (CHINESE, "zh", False),
        ("他穿着T恤，手里拿着iPhone，在KFC门口等人。", "zh", False),
        ("男孩 is walking slowly along 街道，手里拿着一把雨伞，商店都关门了。", "zh", True),
        ("小狗在草地上 бежит，主人站在远处看着它。", "zh", True),
        (ENGLISH, "zh", False),  # another language altogether
    ],
)
def test_letters_of_other_scripts(draft, context, text, language, mixed):
    assert has_mixed_scripts(draft(text, language=language), context) == mixed


def test_how_much_is_allowed_are_settings(draft):
    assert not has_mixed_scripts(draft("The road is still 真 wet."), Context(ReviewSettings(foreign_letters=1)))
    brands = draft("男孩穿Nike和Adidas", language="zh")
    assert has_mixed_scripts(brands, Context())
    assert not has_mixed_scripts(brands, Context(ReviewSettings(latin_share=0.5)))


def test_scripts_are_counted_by_letter_and_weighed_by_word():
    assert script_counts("ab 猫 я")["latin"] == 2 and script_counts("ab 猫 я")["han"] == 1
    assert own_share("three long words 五个汉字呢", "en") == pytest.approx(0.5)
    assert own_share("12 + 3", "zh") == 1
    assert own_share("only latin", "zh") == 0
    assert own_share("улаан хоёр", "tt") == own_share("latin", "tt") == 1  # whose script is not listed


def test_the_identifier_names_the_likeliest_first():
    probabilities = identify_language(GERMAN)
    assert next(iter(probabilities)) == "de" and sum(probabilities.values()) == pytest.approx(1, abs=0.01)

from __future__ import annotations

from recap.records import Caption
from recap.review import Context, ReviewSettings
from recap.translation import Translation, source_sha, translate_captions

ENGLISH = "Two red birds cross the river and then they sit on a small boat."
RIGHT = "两只红色的鸟飞过河，然后停在一条小船上。"


class Scripted:
    """Says what it was told to, first and second time."""

    def __init__(self, first: str, second: str = RIGHT):
        self.said, self.asked = (first, second), []

    def translate(self, texts, language, *, second=False):
        self.asked.append((list(texts), language, second))
        return [Translation(self.said[second], "stop", 9) for _ in texts]

    def close(self):
        """Nothing is held."""


def translated(translator, text=ENGLISH, **settings):
    (found,) = translate_captions(
        [Caption("dense", text)], "zh", translator, "opus@1", Context(ReviewSettings(**settings))
    )
    return found


def test_a_right_translation_is_linked_to_its_caption():
    found = translated(Scripted(RIGHT))
    assert (found.text, found.language, found.prompt, found.model) == (RIGHT, "zh", "dense", "opus@1")
    assert found.source_sha == source_sha(ENGLISH) and len(found.source_sha) == 64
    assert (found.verdict, found.flags, found.repairs) == ("pass", (), 0)


def test_what_fails_is_translated_once_more_and_the_better_one_kept():
    translator = Scripted("一只蓝色的鸟。")
    found = translated(translator)
    assert found.text == RIGHT and found.repairs == 1 and "lost_numbers" in found.flags_before
    assert [second for _, _, second in translator.asked] == [False, True]


def test_what_still_fails_is_flagged_and_kept():
    found = translated(Scripted("Two red birds.", "I cannot translate this."))
    assert found.verdict == "fail" and found.repairs == 1 and len(found.scores) == 2
    assert translated(Scripted("红。"), repair=False).repairs == 0


def test_an_empty_caption_is_not_translated():
    translator = Scripted(RIGHT)
    found = translated(translator, text="")
    assert (found.text, found.flags) == ("", ("empty",)) and translator.asked == []


def test_stray_spaces_and_narrow_marks_are_mended_before_the_checks():
    assert translated(Scripted("两 只 红色 的 鸟 飞 过 河, 然后 停 在 一 条 小船 上.")).text == RIGHT

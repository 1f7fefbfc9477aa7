from __future__ import annotations

import pytest

from recap.translation.text import joined, pieces, typeset


def words(text: str) -> int:
    return len(text.split())


def test_pieces_are_whole_sentences_as_long_as_there_is_room():
    text = "One two three. Four five. Six seven eight nine ten eleven. Twelve."
    assert pieces(text, words, 5, 9) == ["One two three. Four five.", "Six seven eight nine ten eleven.", "Twelve."]
    assert pieces(text, words, 100, 100) == [text] and pieces("", words, 5, 9) == []


def test_a_sentence_beyond_the_limit_is_parted_behind_commas_and_then_between_words():
    assert pieces("One two, three four five six seven.", words, 3, 4) == ["One two,", "three four", "five six seven."]
    assert pieces("Unparted", len, 3, 4) == ["Unparted"]


def test_pieces_are_joined_as_the_language_writes():
    assert joined(["一只狗。", " 它跑。"], "zh") == "一只狗。它跑。"
    assert joined(["Ein Hund.", "Er läuft. "], "de") == "Ein Hund. Er läuft."


@pytest.mark.parametrize(
    ("raw", "right"),
    [
        ("一 只 狗 在 草地 上 跑 .", "一只狗在草地上跑。"),
        ("一只狗,两只猫;走过!", "一只狗，两只猫；走过！"),
        ("他说: “你好 ” 。", "他说：“你好”。"),
        ("招牌(写着 OPEN 24)很亮...", "招牌（写着 OPEN 24）很亮……"),
        ("时间是 10:30, 比分 3.5", "时间是 10:30，比分 3.5"),
        ("1,000 人在 St. Louis, Missouri 的街上", "1,000 人在 St. Louis, Missouri 的街上"),
        ("背景中有一座木屋 (Chalet).", "背景中有一座木屋（Chalet）。"),
        ("(A) 一只狗 (B-2), 一只猫", "（A）一只狗（B-2），一只猫"),
        ("男人（左边)和女人(右边）", "男人（左边）和女人（右边）"),
        ("男人(左边 (红衣) 的)", "男人（左边（红衣）的）"),
        ("狗 ((A) B) 和 ((C) 猫)", "狗（（A）B）和（（C）猫）"),
        ("a) 一只狗 (A (B) C", "a) 一只狗 (A (B) C"),
        ("1,000 人在 St. Louis (MO), Missouri 的街上", "1,000 人在 St. Louis (MO), Missouri 的街上"),
        ("cafe\u0301 在左侧。", "café 在左侧。"),
    ],
)
def test_chinese_is_set_as_it_is_printed(raw, right):
    assert typeset(raw, "zh") == right
    assert typeset(right, "zh") == right


def test_other_languages_keep_their_marks():
    assert typeset(" Ein Hund, eine Katze. ", "de") == "Ein Hund, eine Katze."

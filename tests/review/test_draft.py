from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recap.review.draft import sentences, word_count, words


def test_words_are_lower_case_and_chinese_ones_single_characters():
    assert words("The dog's ball, at 3.5 km: RED-HOT!") == ("the", "dog's", "ball", "at", "3", "5", "km", "red-hot")
    assert words("一只cat跑") == ("一", "只", "cat", "跑")
    assert words("लकड़ी का घर है।") == ("लकड़ी", "का", "घर", "है")


def test_sentences_end_at_either_kind_of_full_stop_and_at_line_ends():
    assert sentences('He says "Go." Then he goes.\n- one\n') == ('He says "Go."', "Then he goes.", "- one")
    assert sentences("他走了。“再见！”她说。") == ("他走了。", "“再见！”", "她说。")
    assert sentences("वह चला। वह रुका।") == ("वह चला।", "वह रुका।")
    assert sentences(" \n") == ()


def test_two_chinese_characters_make_a_word():
    assert word_count(words("a red cat")) == 3
    assert word_count(words("一只红猫")) == 2
    assert word_count(words("一只红猫 sits")) == 3


def test_what_is_quoted_is_not_the_captions_own(draft):
    text = "A sign says \"I can't\", another ‘you’; 'don't go' and 《海》 too, but the man's hat isn't his."
    unquoted = draft(text).unquoted
    assert "can't" not in unquoted and "you" not in unquoted and "go" not in unquoted and "海" not in unquoted
    assert "the man's hat isn't his." in unquoted


def test_a_quotation_that_never_closes_is_the_captions_own(draft):
    assert "no no" in draft('The sign reads "no no').unquoted


@given(st.text(st.sampled_from("aZ09 _'-.\n"), max_size=30))
def test_words_of_an_ascii_text_are_those_that_it_has_beside_a_foreign_one(text):
    assert words(f"{text} é") == (*words(text), "é")

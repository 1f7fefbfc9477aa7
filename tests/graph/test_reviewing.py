from __future__ import annotations

from recap.engines import EngineSettings, PromptSettings, Retry
from recap.graph.reviewing import CaptionReviewer
from recap.records import Caption
from recap.review import ReviewSettings

ENGINE = EngineSettings(max_new_tokens=100, repetition_penalty=1.05)
PROMPT = PromptSettings(instruction={"brief": "Say what happens."})
LOOP = "A dog runs. " + "It runs and it runs and it runs " * 8


def reviewer(**settings) -> CaptionReviewer:
    return CaptionReviewer(ReviewSettings(**settings), PROMPT, ENGINE)


def test_what_is_tried_follows_from_the_flags():
    looked = reviewer().look(Caption("brief", LOOP, finish_reason="length"))
    assert looked.verdict == "fail" and "repetition" in looked.flags
    assert reviewer().retry(looked) == Retry(100, 1.15)
    cut = reviewer().look(Caption("brief", "A dog runs over the grass and then it", finish_reason="length"))
    assert reviewer().retry(cut) == Retry(200, 1.05)
    refused = reviewer().retry(reviewer().look(Caption("brief", "I'm sorry, but I cannot describe this video.")))
    assert refused == Retry(100, 1.05, "Say what happens. Answer in English, with nothing but the description.")


def test_a_sound_caption_is_left_alone_and_nothing_is_tried_where_repair_is_off():
    sound = reviewer().look(Caption("brief", "A dog runs over the grass and catches a ball."))
    assert (sound.verdict, reviewer().retry(sound)) == ("pass", None)
    assert reviewer(repair=False).retry(reviewer().look(Caption("brief", ""))) is None


def test_slots_are_made_for_the_longest_second_attempt():
    assert reviewer().headroom >= 100 + len("Answer in English, with nothing but the description.".split())
    assert reviewer(repair=False).headroom == 0

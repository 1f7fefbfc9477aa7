from __future__ import annotations

import pytest

from recap.records import Caption
from recap.review import Context, ReviewSettings, review_translation

ENGLISH = Caption(
    "dense",
    "A man in a grey hoodie stands at a kitchen counter and cuts two red peppers. Light falls through a window.",
)
GOOD = "一名身穿灰色连帽衫的男子站在厨房台面前，切着两个红辣椒。晨光从窗户照进来。"
CASES = {
    GOOD: (),
    "": ("empty",),
    "一名身穿灰色连帽衫的男子站在厨房台面前，切着红辣椒。晨光从窗户照进来。": ("lost_numbers",),
    "一名身穿连帽衫的男子站在厨房台面前，切着两个红辣椒。晨光从窗户照进来。": ("lost_colours",),
    "男子穿灰衣切两个红椒。": ("off_length",),
    GOOD + GOOD.replace("男子", "女子") + "她把锅放在炉子上，然后慢慢地倒进一些油，等油热了以后再放进辣椒。": (
        "off_length",
    ),
    ENGLISH.text: ("lost_colours", "lost_numbers", "wrong_language"),
    "抱歉，作为AI语言模型，我无法翻译关于灰色连帽衫男子和两个红辣椒的内容，厨房。": ("refusal",),
    "一名身穿灰色连帽衫的男子站在 kitchen counter and cuts 两个红辣椒。晨光从窗户照进来。": ("mixed_scripts",),
    "一名身穿灰色连帽衫的男子站在厨房台面前，切着两个红辣椒。晨光从": ("truncated",),
    "一名灰衣男子切两个红辣椒，" + "切辣椒，" * 8 + "晨光照进来。": ("repetition",),
}


@pytest.mark.parametrize("text, flags", CASES.items())
def test_each_way_to_fail(text, flags):
    translation = Caption("dense", text, language="zh", source_sha="ab")
    reviewed = review_translation(ENGLISH, translation, Context())
    assert reviewed.flags == flags
    assert reviewed.verdict == ("fail" if flags else "pass") and (reviewed.scores[0] < 1) == bool(flags)
    assert reviewed.text == text and reviewed.source_sha == "ab"


def test_the_captions_own_faults_are_not_its_translations():
    source = Caption("dense", "The video shows a dog.", flags=("stock_opening", "too_short"))
    assert review_translation(source, Caption("dense", "视频展示了一只狗。", language="zh"), Context()).flags == ()


def test_an_echo_of_the_translators_orders():
    context = Context(instruction="Translate this caption into Chinese.")
    text = "Translate this caption into Chinese. " + GOOD
    reviewed = review_translation(ENGLISH, Caption("dense", text, language="zh"), context)
    assert "echo" in reviewed.flags


def test_quoted_colours_are_names():
    source = Caption("short", 'A van says "Blue Taxi".')
    assert (
        review_translation(source, Caption("short", "一辆车上写着“Blue Taxi”。", language="zh"), Context()).flags == ()
    )


def test_other_languages_are_compared_by_length_alone():
    translation = Caption("dense", "Ein Mann schneidet Paprika.", language="de")
    assert review_translation(ENGLISH, translation, Context()).flags == ("off_length",)
    generous = Context(ReviewSettings(length_ratio=(0.1, 2.0)))
    assert review_translation(ENGLISH, translation, generous).flags == ()


SNOW = Caption(
    "dense",
    "Two children in red jackets run across a snowy field. In the background there are tall trees and a wooden house.",
)


@pytest.mark.parametrize(
    "language, text",
    [
        ("bn", "লাল জ্যাকেট পরা দুটি শিশু তুষারময় মাঠ জুড়ে দৌড়াচ্ছে। পটভূমিতে লম্বা গাছ এবং একটি কাঠের বাড়ি রয়েছে।"),
        ("cs", "Dvě děti v červených bundách běží přes zasněžené pole. Na ceduli na dřevěném domě stojí „Pozor“."),
        ("de", "Zwei Kinder in roten Jacken laufen über ein Feld. Ein Mann vor dem Holzhaus zieht seine Jacke an."),
        ("de", "Zwei Kinder in roten Jacken laufen über ein Feld. Auf dem Holzhaus im Hintergrund steht „Vorsicht.“"),
        ("hi", "लाल जैकेट पहने दो बच्चे बर्फीले मैदान में दौड़ रहे हैं। पृष्ठभूमि में ऊँचे पेड़ और लकड़ी का एक घर है।"),
        ("it", "I bambini con le giacche rosse corrono sulla neve. I cani marroni sono vicino a una casa di legno."),
        ("mn", "Улаан хүрэмтэй хоёр хүүхэд цастай талбайгаар гүйж байна. Ард нь өндөр модод, модон байшин харагдана."),
        ("sv", "Två barn i röda jackor springer över ett snöigt fält. I bakgrunden finns höga träd och ett trähus."),
        ("th", "เด็กสองคนสวมแจ็คเก็ตสีแดงวิ่งข้ามทุ่งหิมะ ด้านหลังมีต้นไม้สูงและบ้านไม้"),
        ("ur", "سرخ جیکٹ پہنے دو بچے برفیلے میدان میں دوڑ رہے ہیں۔ پس منظر میں اونچے درخت اور لکڑی کا ایک گھر ہے۔"),
    ],
)
def test_a_good_translation_passes_in_its_language(language, text):
    assert review_translation(SNOW, Caption("dense", text, language=language), Context()).flags == ()


@pytest.mark.parametrize(
    "language, text, flags",
    [
        (
            "de",
            "Zwei Kinder in roten Jacken laufen über ein verschneites Feld. Im Hintergrund stehen hohe",
            ("truncated",),
        ),
        ("hi", "लाल जैकेट पहने दो बच्चे बर्फीले मैदान में दौड़ रहे हैं। पृष्ठभूमि में ऊँचे पेड़ और लकड़ी का", ("truncated",)),
        ("sv", SNOW.text, ("wrong_language",)),
        ("hi", SNOW.text, ("wrong_language",)),
    ],
)
def test_and_a_bad_one_fails_in_it(language, text, flags):
    assert review_translation(SNOW, Caption("dense", text, language=language), Context()).flags == flags

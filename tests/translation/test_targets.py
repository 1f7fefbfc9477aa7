from __future__ import annotations

import json

import pytest

from recap.translation import TranslationSettings, fetch_translator
from recap.translation.names import sign_of
from recap.translation.targets import check_targets


@pytest.fixture
def folder(tmp_path):
    """A function that writes a translator's small files."""

    def write(kind: str, **files):
        for name, content in {"config": {"model_type": kind}, **files}.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("marian", {"vocab": {">>cmn_Hans<<": 2, ">>deu<<": 3, ">>de<<": 4, "the": 5}}),
        ("m2m_100", {"special_tokens_map": {"additional_special_tokens": ["__de__", "__zh__"]}}),
        ("m2m_100", {"tokenizer": {"added_tokens": [{"content": "deu_Latn"}, {"content": "zho_Hans"}]}}),
        ("t5", {"tokenizer": {"model": {"vocab": [["<2de>", 0.0], ["<2zh>", 0.0]]}}}),
    ],
)
def test_models_for_several_targets_name_them(folder, kind, files):
    check_targets(folder(kind, **files), ("zh", "de"))
    with pytest.raises(ValueError, match=r"translates into .*, not into fi"):
        check_targets(folder(kind, **files), ("zh", "fi"))


@pytest.mark.parametrize(
    ("language", "sign"),
    [("ar", ">>ara<<"), ("vi", ">>vie<<"), ("ru", ">>rus<<"), ("ja", ">>jpn<<"), ("fr", ">>fra<<"), ("zh", ">>cmn<<")],
)
def test_targets_that_opus_names_by_three_letters_are_known(folder, language, sign):
    others = {">>arz<<": 1, ">>vie_Hani<<": 2, ">>ukr<<": 3, ">>jpn_Hani<<": 4, "the": 5}
    check_targets(folder("marian", vocab=others | {sign: 6}), (language,))
    assert sign_of(language, [*others, sign]) == sign
    with pytest.raises(ValueError, match=f"not into {language}"):
        sign_of(language, others)


@pytest.mark.parametrize("target", ["de", "deu"])
def test_a_model_for_one_target_is_for_that_one(folder, target):
    single = folder("marian", vocab={"the": 1}, tokenizer_config={"target_lang": target})
    check_targets(single, ("de",))
    for languages in (("zh",), ("de", "zh")):
        with pytest.raises(ValueError, match=r"the model has one target, de, not .*zh"):
            check_targets(single, languages)
    check_targets(folder("marian", tokenizer_config={"target_lang": "xyz"}), ("fi",))  # who knows


def test_a_model_that_does_not_say_its_target_is_taken_for_one_language(folder):
    unnamed = folder("marian", vocab={"the": 1}, tokenizer_config={"target_lang": None})
    check_targets(unnamed, ("de",))
    with pytest.raises(ValueError, match="one target, which it does not name, not de, zh"):
        check_targets(unnamed, ("de", "zh"))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["[]", '{"model_type": "mar'])
def test_a_damaged_file_is_named(folder, name, content):
    where = folder("marian")
    (where / name).write_text(content)
    with pytest.raises(ValueError, match=rf"/{name} .*; download it again"):
        check_targets(where, ("de",))


def test_what_is_no_translation_model_is_refused(folder, tmp_path):
    for kind in ("llava", None):
        with pytest.raises(ValueError, match=r"translation\.checkpoint: .* holds no translation model"):
            check_targets(folder(kind), ("zh",))


def test_a_relative_folder_is_the_same_from_wherever_it_is_opened(folder, monkeypatch):
    where = folder("marian", tokenizer_config={"target_lang": "zh"})
    monkeypatch.chdir(where.parent)
    fetched = fetch_translator(TranslationSettings(("zh",), checkpoint=where.name))
    assert fetched.checkpoint == str(where.resolve())

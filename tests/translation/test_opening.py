from __future__ import annotations

import shutil
from fnmatch import fnmatch

import pytest
import torch
from safetensors.torch import load_file

from recap.engines import ModelSettings
from recap.pllava.hub import named_folder
from recap.translation import (
    TranslationSettings,
    fetch_translator,
    open_translator,
    translator_digest,
    translator_problems,
)
from recap.translation.opening import SHIPPED
from recap.translation.seq2seq import Seq2SeqTranslator


@pytest.fixture
def pickled(tmp_path):
    """A function that writes the shipped translator with its weights in a pickle, each a little larger."""

    def write(name: str, more: float = 0.0):
        folder = shutil.copytree(named_folder(SHIPPED), tmp_path / name)
        weights = load_file(folder / "model.safetensors")
        torch.save({key: value + more for key, value in weights.items()}, folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
        return folder

    return write


def digest(folder) -> str:
    return translator_digest(TranslationSettings(("zh",), checkpoint=str(folder)))


def test_pickled_weights_of_a_folder_are_known_by_their_content(pickled):
    one = pickled("one")
    assert digest(one) == digest(pickled("same")) != digest(pickled("other", more=0.001))
    opened = Seq2SeqTranslator(one, TranslationSettings(checkpoint="one"))
    assert opened.translate(["A red circle moves to the left."], "zh")[0].text
    (one / "pytorch_model.bin").unlink()
    with pytest.raises(ValueError, match=r"no \*\.safetensors file"):
        digest(one)


def test_every_part_of_weights_in_pickles_is_fetched(monkeypatch, tmp_path):
    asked: list[str] = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download",
        lambda *_, allow_patterns, **__: asked.extend(allow_patterns) or named_folder(SHIPPED),
    )
    fetch_translator(TranslationSettings(("zh",), checkpoint="some/translator"))
    for name in ("pytorch_model-00001-of-00003.bin", "pytorch_model.bin", "source.spm"):
        assert any(fnmatch(name, pattern) for pattern in asked)


def test_settings_that_a_translator_does_not_keep_are_refused():
    spread, plain = ModelSettings("here", device_map={"": 0}), ModelSettings("here")
    (problem,) = translator_problems(TranslationSettings(("zh",), "llm"), spread)
    assert problem.startswith("model.device_map: translation.engine llm")
    for fine in (TranslationSettings(("zh",), "rehearsal"), TranslationSettings((), "llm")):
        assert translator_problems(fine, spread) == []
    assert translator_problems(TranslationSettings(("zh",), "llm"), plain) == []


def test_a_translator_on_the_cpu_has_the_threads_that_it_is_given():
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            open_translator(
                fetch_translator(TranslationSettings(("zh",), checkpoint="pocket", threads=threads)),
                ModelSettings(),
                "plain",
            )
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)

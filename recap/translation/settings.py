"""The YAML's `translation` section."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from recap.bounds import Count, Positive, Share
from recap.translation.names import language_name

_CODE = re.compile("[a-z]{2,3}")


@dataclass(frozen=True)
class TranslationSettings:
    """Which languages captions are put into, and by what."""

    __pydantic_config__ = {"extra": "forbid", "use_attribute_docstrings": True, "allow_inf_nan": False}

    languages: tuple[str, ...] = ()
    """Codes of two or three letters, such as `zh`; none translates nothing. They can be added to a finished output."""
    engine: Literal["seq2seq", "llm", "rehearsal"] = "seq2seq"
    """`seq2seq` takes a translation model (`translation.checkpoint`), `llm` asks the captioner's own language model in
    text only, `rehearsal` makes something up with no model."""
    checkpoint: str = ""
    """For `seq2seq`: a folder or hub id of a MarianMT, M2M-100, NLLB or MADLAD model, or `pocket`, which ships with
    recap and knows the pocket world's sentences, from English to Chinese."""
    revision: str | None = None
    """The hub commit or branch of `checkpoint`. Of a folder it chooses nothing, but rows name it: another one has all
    translated again."""
    instruction: str = (
        "Translate the following description into {language}. Answer with the translation alone.\n\n{text}"
    )
    """What `llm` is asked; `{language}` and `{text}` stand for the language's name and the caption."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What a `seq2seq` model computes in; `auto` is float32 on a CPU, else what its config.json says."""
    actors: Count = 1
    """Copies of the translator, each in a process of its own."""
    gpus_per_actor: Share = 0
    """The share of a GPU that each copy takes, one at most; 0 computes on the CPU."""
    threads: Count = 1
    """On a CPU, threads that each copy computes with. More are for models of which memory holds no second copy."""
    batch_size: Count = 16
    """Texts that one copy translates together."""
    beams: Count = 1
    """Beams of a `seq2seq` search; 1 is greedy."""
    piece_tokens: Count = 128
    """A longer caption goes to a `seq2seq` model in pieces of whole sentences, up to this many tokens where it can."""
    stall_s: Positive = 600.0
    """Seconds that a batch of texts (`seq2seq`) or a token of each (`llm`) may take; after that the copy's process
    counts as hung, and another takes its place. Without Ray (`runner="loop"`) nobody looks."""
    max_new_tokens: Count = 512
    """The longest translation of a piece (`seq2seq`) or of a caption (`llm`), in tokens."""

    def __post_init__(self):
        for code in self.languages:
            if not _CODE.fullmatch(code) or code == "en":
                raise ValueError(f"translation.languages: {code!r} is no code of another language, such as zh")
        if len(set(self.languages)) < len(self.languages):
            raise ValueError("translation.languages names a language twice")
        if self.languages and self.engine == "seq2seq" and not self.checkpoint:
            raise ValueError("translation.checkpoint is missing: name a folder or a hub id, or translation.engine: llm")
        if "{text}" not in self.instruction:
            raise ValueError("translation.instruction must hold {text}, where the caption goes")
        for word in re.findall(r"{\w+}|<image>", self.instruction):
            if word not in ("{language}", "{text}"):
                raise ValueError(f"translation.instruction holds {word}: nothing stands for that; take it out")

    def asked(self, language: str, text: str = "") -> str:
        """What `llm` is asked about a text, empty where no language model is asked."""
        if self.engine != "llm":
            return ""
        return self.instruction.replace("{language}", language_name(language)).replace("{text}", text)

    @property
    def has_model(self) -> bool:
        """A translation model of its own is used, `checkpoint`."""
        return self.engine == "seq2seq" and bool(self.languages)

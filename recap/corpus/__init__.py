"""Where clips come from: a folder of videos, or a manifest of addresses."""

from recap.corpus.scan import corpus_identity, corpus_root, scan
from recap.corpus.settings import CorpusSettings

__all__ = ["CorpusSettings", "corpus_identity", "corpus_root", "scan"]

"""Where clips come from: a folder of videos, or a manifest of addresses."""

from recap.corpus.scan import OnListed, corpus_identity, corpus_root, scan
from recap.corpus.settings import CorpusSettings

__all__ = ["CorpusSettings", "OnListed", "corpus_identity", "corpus_root", "scan"]

"""A small world of moving shapes, in which captions can be scored word for word, and the models trained in it."""

from recap.pocket.corpus import make_clips, make_pictures
from recap.pocket.facts import Facts, Thing
from recap.pocket.grammar import chinese, english, parse_chinese, parse_english

__all__ = ["Facts", "Thing", "chinese", "english", "make_clips", "make_pictures", "parse_chinese", "parse_english"]

from __future__ import annotations

import logging

from recap.levels import at_level


def test_a_logger_is_as_before_once_the_last_who_asked_is_done():
    logger = logging.getLogger("ours")
    logger.setLevel(logging.WARNING)
    first, second = at_level("ours", logging.CRITICAL), at_level("ours", logging.CRITICAL)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert logger.level == logging.CRITICAL
    second.__exit__(None, None, None)
    assert logger.level == logging.WARNING

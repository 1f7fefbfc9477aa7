from __future__ import annotations

import io
import logging
from contextlib import closing

import pytest

from recap.graph.telling import Retelling, Telling, Warned

log = logging.getLogger("recap.tests")


@pytest.fixture
def telling():
    with closing(Telling()) as found:
        yield found


def test_warnings_are_gathered_by_their_wording_and_written_one_by_one(telling):
    written = io.StringIO()
    telling.setStream(written)
    log.info("nothing %s", "much")
    for name in ("a", "b"):
        log.warning("%s is bad", name)
    try:
        raise ValueError("why")
    except ValueError as error:
        log.error("it failed", exc_info=error)
    assert telling.warned == {"%s is bad": Warned("a is bad", 2), "it failed": Warned("it failed: ValueError('why')")}
    assert written.getvalue().startswith("a is bad\nb is bad\nit failed\nTraceback")


def test_each_wording_is_told_once_and_counted_at_the_end(caplog):
    retelling = Retelling()
    retelling.hear({"%s is bad": Warned("a is bad")})
    retelling.hear({"%s is bad": Warned("a is bad", 7), "slow": Warned("slow")})
    assert caplog.messages == ["a worker: a is bad", "a worker: slow"]
    retelling.close()
    assert caplog.messages[2:] == ["of this kind workers gave 7 warnings: a is bad"]

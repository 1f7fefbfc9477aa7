from __future__ import annotations

from recap.graph.journal import Journal


def test_what_nobody_had_is_new():
    journal = Journal()
    assert journal.begin("a", ["1", "2"]) == {}
    assert journal.begin("b", ["3"]) == {}
    assert journal.begin("a", ["4"]) == {}


def test_what_another_had_is_suspect_until_it_is_done():
    journal = Journal()
    journal.begin("a", ["1", "2"])
    journal.begin("a", ["3"])
    journal.end(["3"])
    assert journal.begin("b", ["1", "3", "4"]) == {"1": False}
    journal.end(["1"])
    assert journal.begin("c", ["1", "2", "4"]) == {"2": False, "4": False}


def test_who_crashed_with_nothing_else_tells_what_it_died_of():
    journal = Journal()
    journal.begin("a", ["1", "2"])
    assert journal.begin("b", ["1", "2"]) == {"1": False, "2": False}
    journal.alone("b", "1")
    journal.alone("b", None)
    journal.alone("b", "2")
    assert journal.begin("c", ["1", "2"]) == {"1": False, "2": False}  # it may have been killed from without
    journal.crashed("b")
    assert journal.begin("d", ["1", "2"]) == {"1": False, "2": True}

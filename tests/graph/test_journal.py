from __future__ import annotations

import pickle

from recap.graph.journal import Journal, Past


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
    assert journal.begin("b", ["1", "3", "4"]) == {"1": Past()}
    journal.end(["1"])
    assert journal.begin("c", ["1", "2", "4"]) == {"2": Past(), "4": Past()}


def test_who_had_nothing_else_tells_what_it_died_of():
    journal = Journal()
    journal.begin("a", ["1", "2"])
    assert journal.begin("b", ["1", "2"]) == {"1": Past(), "2": Past()}
    journal.alone("b", "1")
    journal.alone("b", None)
    journal.alone("b", "2")
    assert journal.begin("c", ["1", "2"]) == {"1": Past(), "2": Past(alone=1)}  # it may have been killed from without
    journal.alone("c", "2")
    journal.crashed("c")
    (past,) = journal.begin("d", ["2"]).values()
    assert past == Past(alone=2, crashes=1) and past.is_deadly and not past.is_guilty
    journal.crashed("b")
    assert journal.begin("e", ["2"])["2"].is_guilty


def test_what_is_known_of_the_dead_goes_on_to_the_next_graph():
    journal, coordinators = Journal(), Journal()
    coordinators.begin("a", ["1", "2", "3"])
    coordinators.alone("a", "2")
    coordinators.crashed("a")
    coordinators.begin("living", ["4"])
    coordinators.end(["1", "4"])
    journal.follow(pickle.loads(pickle.dumps(coordinators)))
    assert journal.begin("b", ["1", "2", "3", "4"]) == {"2": Past(1, 1), "3": Past()}
    journal.end(["2", "3"])
    assert journal.begin("c", ["2"])["2"].alone == 1


def test_last_words_are_handed_on():
    coordinators, ours = Journal(), Journal()
    coordinators.crashed("w1", "CUDA error")
    coordinators.crashed("w2")
    ours.follow(coordinators)
    assert ours.last_words == "CUDA error"

"""The graphs of a run: how many clips each has, and the merging of what they commit."""

from __future__ import annotations

from functools import partial

import pytest

from recap import jobs, ledger, work
from recap.graph import loop, translating
from recap.graph.sizing import TooSmall
from recap.pipeline import Pipeline
from recap.storage import location


def run(pipeline: Pipeline) -> jobs.Summary:
    return jobs.run(pipeline, runner="loop")


def test_many_graphs_deliver_what_one_does(rehearsal, tmp_path, monkeypatch, deliverable):
    run(rehearsal(f"output.path={tmp_path}/one"))
    monkeypatch.setattr(work, "CLIPS_AN_ACTOR", 4)
    graphs, graph = [], loop.loop_round
    monkeypatch.setattr(
        loop, "loop_round", lambda clips, *args, **plan: graphs.append(len(clips)) or graph(clips, *args, **plan)
    )
    summary = run(rehearsal(f"output.path={tmp_path}/many"))
    assert graphs == [4, 2] and summary.complete
    assert deliverable(tmp_path / "many") == deliverable(tmp_path / "one")


def test_fragments_are_merged_between_graphs_and_before_shards_are_cut(rehearsal, tmp_path, monkeypatch, deliverable):
    run(rehearsal(f"output.path={tmp_path}/one"))
    monkeypatch.setattr(work, "CLIPS_AN_ACTOR", 2)
    monkeypatch.setattr(ledger, "compact", partial(ledger.compact, many=0))
    seen, graph = [], loop.loop_round

    def counted(clips, *args, **plan):
        seen.append(len(list(tmp_path.glob("many/fragments/*/*.parquet"))))
        return graph(clips, *args, **plan)

    monkeypatch.setattr(loop, "loop_round", counted)
    assert run(rehearsal(f"output.path={tmp_path}/many")).complete
    assert [*seen, len(list(tmp_path.glob("many/fragments/*/*.parquet")))] == [0, 1, 1, 1]
    assert deliverable(tmp_path / "many") == deliverable(tmp_path / "one")


def test_fragments_are_merged_while_a_graph_runs(rehearsal, tmp_path, monkeypatch, deliverable):
    run(rehearsal(f"output.path={tmp_path}/one"))
    monkeypatch.setattr(work, "MERGE_EVERY_S", 0.0)
    monkeypatch.setattr(ledger, "compact", partial(ledger.compact, many=1))
    seen, compacted = [], ledger.compact

    def counted(folder, rows_in, **how):
        merged = compacted(folder, rows_in, **how)
        seen.append((len(list(folder.glob("*.parquet"))), len(merged)))
        return merged

    monkeypatch.setattr(ledger, "compact", counted)
    assert run(rehearsal(f"output.path={tmp_path}/many", "engine.batch_size=1", "output.commit_every_s=0.001")).complete
    assert any(merged for _, merged in seen[1:-1]) and max(files for files, _ in seen) <= 3
    assert deliverable(tmp_path / "many") == deliverable(tmp_path / "one")


def test_fragments_of_translations_are_merged_between_graphs_and_while_one_runs(
    rehearsal, tmp_path, monkeypatch, deliverable
):
    chinese = ("translation.languages=[zh]", "translation.engine=rehearsal", "review.repair=false")
    run(rehearsal(f"output.path={tmp_path}/one", *chinese))
    run(rehearsal(f"output.path={tmp_path}/many", "review.repair=false"))
    monkeypatch.setattr(work, "CLIPS_AN_ACTOR", 3)
    monkeypatch.setattr(translating, "BLOCK_CLIPS", 1)
    monkeypatch.setattr(work, "MERGE_EVERY_S", 0.0)
    monkeypatch.setattr(ledger, "compact", partial(ledger.compact, many=1))
    seen, compacted = [], ledger.compact

    def counted(folder, rows_in, **how):
        merged = compacted(folder, rows_in, **how)
        if "overlays" in str(folder):
            seen.append((how.get("growing", False), len(list(folder.glob("*.parquet")))))
        return merged

    monkeypatch.setattr(ledger, "compact", counted)
    assert run(rehearsal(f"output.path={tmp_path}/many", *chinese)).complete
    assert sum(growing for growing, _ in seen) == 6 and max(files for _, files in seen) <= 3
    assert [files for growing, files in seen if not growing][-2:] == [1, 1]
    assert deliverable(tmp_path / "many") == deliverable(tmp_path / "one")


def test_a_run_that_was_overtaken_merges_nothing_any_more_and_ends(rehearsal, monkeypatch):
    monkeypatch.setattr(work, "MERGE_EVERY_S", 0.0)
    monkeypatch.setattr(work, "CLIPS_AN_ACTOR", 2)
    asked = []

    def require_lease(output, epoch):
        asked.append((output, epoch))
        if len(asked) == 6:  # when the second graph has a receipt
            monkeypatch.setattr(ledger, "compact", lambda *_, **__: pytest.fail("it merged"))
            raise ValueError("another took it over")

    monkeypatch.setattr(ledger, "require_lease", require_lease)
    pipeline = rehearsal()
    with pytest.raises(ValueError, match="another took it over"):
        run(pipeline)
    assert set(asked) == {(location(pipeline.output.path), 1)}


def test_a_cluster_that_became_too_small_ends_a_run_in_order(rehearsal, monkeypatch, caplog):
    monkeypatch.setattr(work, "CLIPS_AN_ACTOR", 2)
    graphs, graph = [], loop.loop_round

    def shrinks(clips, *args, **plan):
        graphs.append(len(clips))
        if len(graphs) > 1:
            raise TooSmall("engine.actors 1 × engine.gpus_per_actor 1 need 1 GPUs, and Ray finds 0")
        yield from graph(clips, *args, **plan)

    monkeypatch.setattr(loop, "loop_round", shrinks)
    summary = run(rehearsal())
    assert (summary.captioned, summary.remaining, len(summary.shards)) == (2, 4, 2)
    assert "no worker can start: engine.actors 1" in caplog.text


@pytest.mark.parametrize(("actors", "clips"), [(1, 50_000), (8, 400_000), (200, 5_000_000)])
def test_a_graph_gives_each_copy_of_the_model_enough_to_do(actors, clips):
    assert work.graph_clips(actors) == clips

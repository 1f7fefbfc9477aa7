from __future__ import annotations

import pytest

from recap import ledger


@pytest.fixture
def overlay(output):
    """An overlay that holds records of clips a, b and c; the caption of c alone is there."""
    output.see("a", "b", "c")
    writer = ledger.FragmentWriter(output.path / "overlays/tk", 1, "x", 30)
    for name in "abc":
        writer.append(output.caption(name))
    writer.flush()
    output.commit(1, "x", output.caption("c"))
    return writer.folder


def held(output, overlay) -> list[int]:
    return ledger.Committed(output.snapshot, overlay).done.tolist()


def test_what_an_overlay_holds_of_lost_captions_counts_no_more(output, overlay):
    ledger.forget_orphans(output.committed(), ledger.overlay_folders(output.path), "ck", 2)
    assert held(output, overlay) == [2]
    assert [path.name for path in overlay.glob("*.retry")] == ["000002-retry-000000.retry"]
    ledger.forget_orphans(output.committed(), ledger.overlay_folders(output.path), "ck", 3)
    assert len(list(overlay.glob("*.retry"))) == 1


def test_what_is_lost_later_in_an_epoch_has_a_mark_of_its_own(output, overlay):
    for _ in range(2):
        ledger.forget_orphans(output.committed(), [overlay], "ck", 2)
        next(output.fragments.glob("*.parquet"), overlay / "gone").unlink(missing_ok=True)
    assert held(output, overlay) == [] and len(list(overlay.glob("*.retry"))) == 2


def test_overlays_of_other_captions_and_stray_files_are_left_alone(output, overlay, monkeypatch):
    (output.path / "overlays/.DS_Store").touch()
    monkeypatch.setattr("recap.ledger.overlays.Committed", None)  # no more than its key is read of it
    ledger.forget_orphans(output.committed(), ledger.overlay_folders(output.path), "another key", 2)
    assert held(output, overlay) == [0, 1, 2] and not list(overlay.glob("*.retry"))

from __future__ import annotations

import pytest

from recap.graph.dealing import MAX_BLOCK_BUNDLES, QUEUED_BLOCKS, blocks, bundle_clips, bundles, calls


@pytest.mark.parametrize(
    ("clips", "workers", "in_flight", "size"),
    [(10_000, 8, 192, 8), (10_000, 8, 24, 4), (100, 2, 96, 6), (24, 2, 24, 1), (10_000, 8, 1, 1)],
)
def test_workers_and_engine_have_several_bundles_each_however_many_clips_there_are(clips, workers, in_flight, size):
    assert bundle_clips(clips, workers, in_flight) == size


@pytest.mark.parametrize(
    ("clips", "size", "workers"), [(0, 1, 2), (1, 8, 2), (50, 3, 2), (100_001, 8, 2), (9999, 8, 7)]
)
def test_all_clips_are_dealt_in_order_in_whole_bundles(clips, size, workers):
    dealt = list(blocks(range(clips), size, workers))
    assert [clip for block in dealt for clip in block] == list(range(clips))
    assert all(len(block) % size == 0 and len(block) <= size * MAX_BLOCK_BUNDLES for block in dealt[:-1])
    assert [len(bundle) for block in dealt for bundle in bundles(block, size)] == [size] * (clips // size) + (
        [clips % size] if clips % size else []
    )


def test_a_long_graph_has_large_blocks_and_no_worker_ends_with_a_queue_that_others_could_help_with():
    clips, size, workers = 100_000, 8, 4
    dealt = list(blocks(range(clips), size, workers))
    assert len(dealt) < clips / size / MAX_BLOCK_BUNDLES * 1.5
    left = clips
    for block in dealt:
        at_most = len(block) * (QUEUED_BLOCKS + 1)  # what one worker can have in its queue by then
        assert at_most <= max(left / workers, size * (QUEUED_BLOCKS + 1))
        left -= len(block)
    assert len(dealt[-1]) <= size


@pytest.mark.parametrize(
    ("clips", "bundle", "in_flight", "actors", "at_once", "in_hand"),
    [
        (50_000, 8, 192, 8, 25, 26),
        (1000, 8, 192, 8, 16, 16),
        (132, 8, 96, 2, 9, 9),
        (132, 8, 96, 1, 13, 14),
        (24, 1, 96, 2, 12, 12),
        (3, 1, 96, 3, 2, 2),
        (10_000, 1, 1, 2, 2, 3),
    ],
)
def test_a_copy_of_the_model_has_no_more_than_its_share(clips, bundle, in_flight, actors, at_once, in_hand):
    assert calls(clips, bundle, in_flight, actors) == (at_once, in_hand)

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recap.engines import EngineSettings
from recap.graph.sizing import HEADROOM_CPUS, MIN_CPUS, Machine, Pools, caption_actors, size_pools, translator_cpus
from recap.translation import TranslationSettings


def pools(cpus, gpus=0, workers="auto", actors=1, per_actor=0, shares_cores=False):
    wanted = {"decode_workers": workers, "caption_actors": actors}
    return size_pools(Machine(cpus, gpus), gpus_per_actor=per_actor, shares_cores=shares_cores, **wanted)


def test_two_cores_get_one_decoder_and_one_captioner():
    got = pools(2)
    assert (got.decode_workers, got.decode_cpus, got.caption_actors, got.caption_cpus) == (1, 1.0, 1, 0.5)


def test_a_single_core_runs_on_fractions():
    assert pools(1) == Pools(1, 0.25, 1, 0.25, 0)
    assert pools(1, workers=1) == pools(1)
    with pytest.raises(ValueError, match="left free"):
        pools(1, actors=4)


def test_engines_on_the_same_cores_get_a_decoder_for_each():
    assert pools(2, actors=2, shares_cores=True) == Pools(2, 0.375, 2, 0.375, 0)
    assert pools(16, actors=4, shares_cores=True).decode_workers == 16
    assert pools(2, workers=3) == Pools(3, 1.0 / 3, 1, 0.5, 0)


@given(st.integers(2, 256), st.integers(1, 8), st.booleans())
def test_the_sum_always_leaves_room(cpus, actors, shares_cores):
    try:
        got = pools(cpus, actors=actors, shares_cores=shares_cores)
    except ValueError:
        assert (cpus - HEADROOM_CPUS) / 2 / actors < MIN_CPUS
        return
    used = got.decode_workers * got.decode_cpus + got.caption_actors * got.caption_cpus
    assert used <= cpus - HEADROOM_CPUS + 1e-6


def test_translators_share_what_there_is_and_others_are_refused():
    assert translator_cpus(Machine(8, 0), TranslationSettings()) == 1.0
    assert translator_cpus(Machine(2, 1), TranslationSettings(actors=2, gpus_per_actor=0.5)) == 0.75
    with pytest.raises(ValueError, match="need 2 GPUs, and Ray finds 1"):
        translator_cpus(Machine(8, 1), TranslationSettings(actors=2, gpus_per_actor=1))
    with pytest.raises(ValueError, match="too small"):
        translator_cpus(Machine(2, 0), TranslationSettings(actors=16))


def test_what_cannot_run_is_refused_with_the_sums():
    with pytest.raises(ValueError, match=r"decode\.workers 5: more than 4 .* lower decode\.workers .to 4."):
        pools(2, workers=5)
    assert pools(2, workers=4).decode_workers == 4
    with pytest.raises(ValueError, match=r"decode\.workers 1 × .* lower engine\.actors .to 7."):
        pools(2, workers=1, actors=8)
    with pytest.raises(ValueError, match=r"need 4 GPUs, and Ray finds 2"):
        pools(64, gpus=2, actors=4, per_actor=1)


AUTO, GB = EngineSettings(batch_size=10), 1e9


@pytest.mark.parametrize(
    ("machine", "engine", "model_bytes", "clips", "copies"),
    [
        (Machine(16, 0, 64 * GB), AUTO, 0.5 * GB, 10_000, 16),
        (Machine(16, 0, 64 * GB), AUTO, 7 * GB, 10_000, 4),
        (Machine(16, 0, 64 * GB), AUTO, 70 * GB, 10_000, 1),
        (Machine(16, 0, 64 * GB), AUTO, 0.5 * GB, 47, 2),
        (Machine(16, 0, 64 * GB), AUTO, 0.5 * GB, 3, 1),
        (Machine(16, 0, 64 * GB), replace(AUTO, threads=4), 0.5 * GB, 10_000, 4),
        (Machine(64, 8, 64 * GB), replace(AUTO, gpus_per_actor=2), 70 * GB, 10_000, 4),
        (Machine(64, 8, 64 * GB), replace(AUTO, gpus_per_actor=0.5), 7 * GB, 100, 5),
        (Machine(64, 1, 64 * GB), replace(AUTO, gpus_per_actor=0.2), 7 * GB, 10_000, 5),
        (Machine(64, 8, 64 * GB, (4, 3, 1)), replace(AUTO, gpus_per_actor=2), 70 * GB, 10_000, 3),
        (Machine(2, 1, 64 * GB), replace(AUTO, gpus_per_actor=0.1), 7 * GB, 10_000, 7),
        (Machine(16, 0, 64 * GB), replace(AUTO, kind="rehearsal"), 0, 10_000, 1),
        (Machine(2, 0, 1 * GB), replace(AUTO, actors=7), 70 * GB, 1, 7),
    ],
)
def test_copies_of_the_model_follow_from_cores_memory_gpus_and_work(machine, engine, model_bytes, clips, copies):
    assert caption_actors(engine, machine, model_bytes, 5_419_008, clips) == copies
    gpus = engine.gpus_per_actor
    assert not gpus or size_pools(machine, decode_workers="auto", caption_actors=copies, gpus_per_actor=gpus)


def test_clips_in_hand_take_memory_too():
    copies = [
        caption_actors(AUTO, Machine(16, 0, 16 * GB), 0, picture_bytes, 10_000) for picture_bytes in (1, 30_000_000)
    ]
    assert copies == [15, 4]


def test_a_copy_does_not_lie_on_two_nodes():
    cluster = Machine(16, 2, node_gpus=(1, 1))
    with pytest.raises(ValueError, match="need 2 GPUs, and Ray finds 2, with room for 0 such actors"):
        size_pools(cluster, decode_workers=1, caption_actors=1, gpus_per_actor=2)
    assert size_pools(cluster, decode_workers=1, caption_actors=3, gpus_per_actor=0.5).caption_actors == 3

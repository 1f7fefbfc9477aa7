from __future__ import annotations

import pytest

from recap.graph.sizing import Machine
from recap.report.speed import GraphBooks, Wall, engines_apart, speed_account
from recap.timing import Calibration, Spent

CALIBRATED = (Calibration(8, 4.0, 2.0, 4.0),)


def caption(clips=100, alive_s=110.0, calibrations=CALIBRATED):
    seconds = {"starting": 10.0, "vision": 20.0, "prefill": 30.0, "decode_steps": 40.0, "waiting_for_frames": 9.0}
    counts = {"clips": clips, "prompt_tokens": 1000, "output_tokens": 500, "steps": 50, "texts_stepped": 400}
    return Spent("caption", 1, alive_s, seconds, {}, counts, tuple(calibrations))


def decode(core_s=50.0):
    seconds = {"decoding": 60.0, "waiting_for_engine": 30.0}
    return Spent("decode", 1, 90.0, seconds, {"decoding": core_s}, {"clips": 100})


def account(*graphs, seconds=130.0, gpus=0.0, actors=1, planning_s=0.0, translating_s=0.0, finishing_s=0.0):
    books = [GraphBooks(spents, Machine(4, 2 * gpus)) for spents in graphs]
    wall = Wall(planning_s, seconds - translating_s, translating_s, finishing_s)
    return speed_account(wall, books, gpus, actors)


def test_rates_are_over_the_time_in_which_an_engine_was_ready():
    speed = account([caption(), decode()])
    assert (speed.working_s, speed.calibrating_s, speed.starting_s) == (100.0, 4.0, 26.0)
    assert (speed.clips_per_s, speed.prompt_tokens_per_s, speed.output_tokens_per_s) == (1.0, 10.0, 5.0)
    assert speed.texts_per_step == 8
    assert speed.clips_per_gpu_hour_held is None


def test_a_pool_says_what_it_did_and_what_it_waited_for():
    pools = account([caption(), decode()]).pools
    assert pools["caption"].busy == pytest.approx(0.9) and pools["caption"].shares["waiting_for_frames"] == 0.09
    assert pools["decode"].busy == pytest.approx(2 / 3) and pools["decode"].shares["waiting_for_engine"] == 1 / 3


def test_the_ceiling_is_the_narrowest_of_engines_and_cores():
    bound = account([caption(), decode()]).ceiling
    assert (bound.bound_by, bound.clips_per_s, bound.share, bound.calibration_clips) == ("engine", 2.0, 0.5, 8)
    bound = account([caption(), decode(core_s=375.0)]).ceiling
    assert bound.bound_by == "CPU cores, mostly decoding"
    assert bound.clips_per_s == pytest.approx(4 / (0.25 + 3.75)) and bound.share == pytest.approx(1.0)
    assert account([caption(), decode(core_s=375.0)], actors=3).ceiling.clips_per_s == pytest.approx(1.0)


def test_files_that_no_caption_comes_of_keep_cores_busy_too():
    with_bad_ones = account([caption(clips=50), decode(core_s=375.0)]).ceiling
    assert with_bad_ones.clips_per_s == pytest.approx(4 / (0.25 + 7.5))


@pytest.mark.parametrize(
    ("actors", "gpus_each", "apart"), [(4, 0, 4), (4, 0.25, 1), (30, 0.1, 3), (3, 0.5, 2), (2, 2, 2)]
)
def test_engines_that_share_a_card_are_no_faster_than_one_that_has_it(actors, gpus_each, apart):
    assert engines_apart(actors, gpus_each) == apart
    bound = account([caption(clips=10), decode(0.0)], gpus=actors * gpus_each, actors=actors).ceiling
    assert bound.clips_per_s == pytest.approx(min(apart / 0.5, 4 / 0.25))


def test_a_ceiling_is_no_lower_than_what_was_reached():
    disturbed = account([caption(calibrations=[Calibration(8, 16.0, 2.0, 16.0)]), decode()]).ceiling
    assert (disturbed.clips_per_s, disturbed.share, disturbed.bound_by) == (1.0, 1.0, "engine")
    assert disturbed.is_own_pace and not account([caption(), decode()]).ceiling.is_own_pace


def test_gpu_hours_are_those_held_and_those_provisioned():
    speed = account([caption(), decode()], seconds=360.0, gpus=0.5)
    assert speed.clips_per_gpu_hour_held == pytest.approx(100 / 0.05)
    assert speed.clips_per_gpu_hour_provisioned == pytest.approx(100 / 0.1)


def test_graphs_one_after_the_other_add_up():
    speed = account([caption(), decode()], [caption(calibrations=()), decode()], seconds=250.0)
    assert (speed.working_s, speed.clips_per_s, speed.starting_s) == (200.0, 1.0, 46.0)


def test_an_actor_that_dies_and_begins_anew_works_for_both_of_its_lives():
    speed = account([caption(), caption(alive_s=60.0), decode()], seconds=250.0)
    assert (speed.working_s, speed.clips_per_s) == (150.0, 200 / 150)
    beside = account([caption(), caption(alive_s=60.0), decode()], seconds=250.0, actors=2)
    assert beside.working_s == 100.0


def test_translating_is_no_part_of_starting_and_holds_no_gpu():
    speed = account([caption(), decode()], seconds=360.0, gpus=0.5, translating_s=180.0)
    assert (speed.translating_s, speed.starting_s) == (180.0, 76.0)
    assert speed.clips_per_gpu_hour_held == pytest.approx(100 / 0.025)
    assert speed.clips_per_gpu_hour_provisioned == pytest.approx(100 / 0.1)


def test_the_parts_make_the_whole():
    speed = account([caption(), decode()], seconds=300.0, planning_s=7.0, translating_s=40.0, finishing_s=3.0)
    parts = [getattr(speed, f"{name}_s") for name in ("planning", "starting", "calibrating", "working")]
    assert speed.seconds == 310.0 == sum(parts) + speed.translating_s + speed.finishing_s
    assert (speed.planning_s, speed.finishing_s) == (7.0, 3.0)


def test_a_run_that_only_translates_has_an_account_and_one_with_nothing_to_do_has_none():
    speed = account(seconds=40.0, translating_s=40.0, finishing_s=3.0)
    assert (speed.seconds, speed.translating_s, speed.pools, speed.ceiling) == (43.0, 40.0, {}, None)
    assert account(seconds=0.0) is None


def test_a_run_that_captions_nothing_says_what_it_did_all_the_same():
    speed = account([caption(clips=0), decode()])
    assert (speed.clips_per_s, speed.ceiling, speed.working_s) == (0.0, None, 100.0)
    assert speed.pools["decode"].busy == pytest.approx(2 / 3)
    assert account([caption(alive_s=10.0), decode()]).clips_per_s == 0.0  # no engine was ever ready


def test_there_is_no_ceiling_uncalibrated():
    assert account([caption(calibrations=()), decode()]).ceiling is None

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Timer

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from recap import forecast, jobs, verification
from recap.cli import main
from recap.cli.group import Group
from recap.cli.runs import _finish
from recap.report.progress import Progress
from recap.storage import scratch

RECAP = str(Path(sys.executable).with_name("recap"))


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_letters_that_a_terminal_does_not_have_are_no_mistake_in_the_settings():
    group = Group(commands=[click.Command("say", callback=lambda: "图".encode("ascii"))])
    result = CliRunner().invoke(group, ["say"])
    assert result.exit_code == 1 and "cannot be in ascii: set PYTHONIOENCODING=utf-8" in result.output
    group = Group(commands=[click.Command("say", callback=lambda: "\udce9".encode())])
    assert CliRunner().invoke(group, ["say"]).exit_code == 2


@pytest.fixture
def pipeline(tmp_path, home):
    path = tmp_path / "p.yaml"
    clips = home / "pipelines/demo/clips/shapes"
    path.write_text(
        f"corpus: {{path: {clips}, pattern: 'red-*'}}\nengine: {{kind: rehearsal, max_new_tokens: 9}}\n"
        f"output: {{path: {tmp_path / 'out'}}}\n"
    )
    return path


def test_help_does_not_wait_for_heavy_libraries():
    subprocess.run([RECAP, "--help"], check=True, capture_output=True)
    times = []
    for _ in range(5):
        started = time.monotonic()
        subprocess.run([RECAP, "--help"], check=True, capture_output=True)
        times.append(time.monotonic() - started)
    assert min(times) < 0.5


def test_no_heavy_library_is_imported_for_the_commands_list():
    heavy = {"torch", "ray", "pyarrow", "pydantic", "numpy", "http.client"}
    code = f"import sys, recap.cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_public_names_stay():
    commands = {f"{name} {sub}" for name, group in main.commands.items() for sub in getattr(group, "commands", [""])}
    assert {
        "run ",
        "plan ",
        "view ",
        "export ",
        "model merge",
        "model hash",
        "config show",
        "config schema",
        "config validate",
    } <= commands


@pytest.mark.ray
def test_run_prints_one_json_object_and_view_shows_the_captions(ray_session, pipeline, tmp_path):
    result = invoke("run", pipeline, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["clips"], summary["captioned"], summary["remaining"]) == (3, 3, 0)
    assert summary["shards"] and summary["speed"]["clips_per_s"] > 0
    shown = invoke("view", tmp_path / "out", "--rows", "1").stdout
    assert "red-circle-right.mp4" in shown and summary["generation"] in shown


def test_captions_can_be_looked_at_before_a_run_has_ended(tmp_path, rehearsal):
    out = tmp_path / "out"
    jobs.run(rehearsal(), runner="loop")
    (out / "manifest.json").unlink()
    result = invoke("view", out)
    assert result.exit_code == 2 and "no run has finished there yet (`recap view --latest`" in result.stderr
    for rows, options in ((6, ()), (2, ("--rows", "2"))):
        lines = invoke("view", out, "--latest", *options).stdout.splitlines()
        assert len([line for line in lines if ".mp4" in line]) == rows and "what was committed last" in lines[-1]
    assert not (out / "report/index.html").exists()
    assert invoke("view", out, "--latest", "--sheet", tmp_path / "sheet.png").exit_code == 0
    assert (tmp_path / "sheet.png").exists()
    page = invoke("view", out, "--latest", "--page")
    assert page.exit_code == 2 and "say either --latest or --page" in page.stderr
    for fragment in (out / "fragments").glob("*/*.parquet"):
        fragment.unlink()
    assert "nothing has been committed yet" in invoke("view", out, "--latest").stdout


def test_long_phases_say_how_far_they_are(rehearsal):
    told = Progress(Console(file=io.StringIO()), every_s=0)
    jobs.run(rehearsal(), runner="loop", progress=told)
    said = told.console.file.getvalue().splitlines()
    phases = [line.split(":")[0] for line in said if not line.startswith(("decoded", "6 clips"))]
    assert phases == ["listing the corpus", "looking for near-duplicates", "cutting shards"]
    assert said[-1] == "cutting shards: 6/6 clips"


def test_a_plan_says_how_far_its_listing_is(pipeline, monkeypatch):
    monkeypatch.setattr(Progress.__init__, "__defaults__", (None, 0))
    assert "listing the corpus: 3 clips so far" in invoke("plan", pipeline, "--probe", "0").stderr


def test_what_others_print_meanwhile_is_not_on_stdout(rehearsal, capsys):
    def run():
        print("(raylet) a task will be retried")
        return jobs.run(rehearsal(), runner="loop")

    _finish(run, as_json=True)
    said = capsys.readouterr()
    assert json.loads(said.out)["complete"] and "(raylet)" in said.err


def test_a_retry_that_is_interrupted_says_what_goes_on(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "retry", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    result = invoke("retry", tmp_path, "--reason", "decode")
    signal.signal(signal.SIGTERM, before)
    assert result.exit_code == 130 and "recap run goes on with the rest" in result.output


@pytest.mark.ray
def test_a_run_that_is_terminated_while_it_waits_for_ray_says_so(ray_session, capsys):
    asleep = ray_session.remote(num_cpus=0)(lambda: time.sleep(60)).remote()
    before, began = signal.getsignal(signal.SIGTERM), time.monotonic()

    def run():
        Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        ray_session.get(asleep)

    with pytest.raises(SystemExit) as left:
        _finish(run, as_json=True)
    signal.signal(signal.SIGTERM, before)
    assert left.value.code == 143 and "terminated; what was committed is safe" in capsys.readouterr().err
    assert time.monotonic() - began < 30
    ray_session.cancel(asleep, force=True)


@pytest.mark.ray
def test_a_corpus_that_moved_is_told_on_the_command_line(ray_session, pipeline, home, tmp_path):
    assert invoke("run", pipeline).exit_code == 0
    moved = f"corpus.path={tmp_path / 'moved'}"
    shutil.copytree(home / "pipelines/demo/clips/shapes", tmp_path / "moved", copy_function=shutil.copy2)
    for command in (["plan", "--probe", "0"], ["run"]):
        refused = invoke(*command, pipeline, moved)
        assert refused.exit_code == 2 and "--corpus-moved" in refused.output
        assert invoke(*command, pipeline, moved, "--corpus-moved").exit_code == 0
    assert invoke("run", pipeline, moved).exit_code == 0


@pytest.mark.ray
def test_a_limited_run_ends_well_and_says_what_remains(ray_session, pipeline):
    result = invoke("run", pipeline, "--limit", "1")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["captioned", "1"] in lines and ["remaining", "2"] in lines


def test_plan_prints_what_a_run_would_do(pipeline, tmp_path):
    assert "to do" in invoke("plan", pipeline).stdout
    planned = json.loads(invoke("plan", pipeline, "--limit", "2", "--json").stdout)
    assert (planned["clips"], planned["new"], planned["to_do"]) == (3, 3, 2)
    assert not (tmp_path / "out").exists()


def test_a_plan_says_that_it_probes(pipeline):
    assert invoke("plan", pipeline).stderr == "probing 3 clips...\n"
    assert invoke("plan", pipeline, "--probe", "2").stderr == "probing 2 clips...\n"
    assert invoke("plan", pipeline, "--probe", "0").stderr == ""


def test_more_frames_than_memory_has_room_for_are_refused(pipeline):
    for command in ("plan", "run"):
        result = invoke(command, pipeline, "frames.count=100000")
        assert result.exit_code == 2 and "frames.count 100000: a clip's pictures take 1.1 GB" in result.stderr
    planned = invoke("plan", pipeline, "frames.count=100000", "decode.memory_gb=5", "--probe", "0")
    assert planned.exit_code == 0, planned.output


def test_what_a_killed_plan_left_goes_with_the_next_one(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "recap-plan-stale").mkdir()
    with scratch("recap-plan-") as held:
        assert invoke("plan", pipeline).exit_code == 0
        assert list(tmp_path.glob("recap-plan-*")) == [held]


def test_a_plan_that_is_terminated_leaves_nothing(pipeline, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(forecast, "_probe", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert invoke("plan", pipeline).exit_code == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not list(tmp_path.glob("recap-plan-*"))


def test_mistakes_are_usage_errors(pipeline, home, tmp_path):
    recipe = home / "pipelines/pocket/stage2.yaml"
    for arguments, message in [
        (("run", tmp_path / "none.yaml"), "there is no file"),
        (("run", pipeline, "frames.cuont=8"), "did you mean frames.count?"),
        (("run", pipeline, "corpus.path=/nowhere"), "no folder /nowhere"),
        (("run", recipe), "is no pipeline but a training recipe: `recap train`"),
        (("train", tmp_path / "none.yaml"), "there is no file"),
        (("view", tmp_path), "manifest.json"),
        (("config", "validate", pipeline, "engine.kind=magic"), "engine.kind"),
    ]:
        result = invoke(*arguments)
        assert result.exit_code == 2 and message in result.stderr, result.output
        assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_that_cannot_be_written_or_named_is_a_message(rehearsal, pipeline, tmp_path):
    jobs.run(rehearsal(), runner="loop")
    folder, file, long = tmp_path / "folder", tmp_path / "file", tmp_path / ("x" * 300)
    folder.mkdir()
    file.touch()
    for arguments, message in [
        (("export", tmp_path / "out", folder), f"Is a directory ({folder})"),
        (("view", tmp_path / "out", "--page", folder), f"Is a directory ({folder})"),
        (("run", pipeline, f"corpus.path={long}"), f"File name too long ({long})"),
        (("plan", pipeline, f"output.path={long}"), f"File name too long ({long}/recipe.json)"),
    ]:
        result = invoke(*arguments)
        assert result.exit_code == 1 and f"Error: {message}" in result.stderr, result.output


@pytest.mark.parametrize(
    "command", [("export", "FILE.csv"), ("view", "--sheet", "FILE.png"), ("view", "--page", "FILE.html")]
)
def test_no_folder_is_made_for_a_file_that_is_asked_for(tmp_path, rehearsal, command):
    jobs.run(rehearsal(), runner="loop")
    name, *options = command
    result = invoke(name, tmp_path / "out", *(each.replace("FILE", f"{tmp_path}/nope/a") for each in options))
    assert result.exit_code == 2 and f"there is no folder {tmp_path / 'nope'} to write a." in result.stderr
    assert not (tmp_path / "nope").exists()


def test_where_nobody_watches_there_is_no_progress(tmp_path, rehearsal):
    jobs.run(rehearsal(), runner="loop")
    result = invoke("view", tmp_path / "out", "--page")
    assert result.exit_code == 0 and result.stderr == ""


def test_config_commands(pipeline):
    import yaml

    shown = yaml.safe_load(invoke("config", "show", pipeline, "frames.count=8").stdout)
    assert shown["frames"]["count"] == 8 and shown["output"]["rows_per_shard"] == 10_000
    assert json.loads(invoke("config", "schema").stdout)["properties"]["corpus"]
    assert "is valid" in invoke("config", "validate", pipeline).stdout
    for model in ("engine.kind=rehearsal", "engine.kind=transformers"):
        result = invoke("config", "validate", pipeline, model, "model.checkpoint=a/b", "prompt.template=plan")
        assert result.exit_code == 2 and "did you mean 'plain'" in result.stderr


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (("output.path=ftp://a",), ("ftp://a: storage ftp:// is not known",)),
        (("corpus.path=http://b", "prompt.template=plan"), ("corpus.path: http://b: storage", "did you mean 'plain'")),
        (("engine.kind=transformers", "model.checkpoint=Pocket"), ("no folder Pocket", "did you mean pocket?")),
        (("engine.kind=transformers", "model.checkpoint=./nowhere"), ("there is no folder ./nowhere",)),
        (
            ("translation.languages=[de]", "translation.checkpoint=pocket", "prompt.template=plan"),
            ("the model has one target, zh, not de", "did you mean 'plain'"),
        ),
        (("translation.languages=[zh]", "translation.checkpoint=Pocket"), ("did you mean pocket?",)),
    ],
)
def test_validate_and_run_refuse_alike_what_no_machine_can_run(pipeline, overrides, messages):
    for command in (("config", "validate"), ("run",)):
        result = invoke(*command, pipeline, *overrides)
        assert result.exit_code == 2, result.output
        for message in messages:
            assert message in result.stderr


def test_plan_asks_no_hub_for_what_is_no_name_of_one(pipeline):
    result = invoke("plan", pipeline, "engine.kind=transformers", "model.checkpoint=Pocket")
    assert result.exit_code == 2 and "did you mean pocket?" in result.stderr


def test_config_commands_take_a_training_too(home):
    import yaml

    recipe = home / "pipelines/pocket/stage2.yaml"
    assert yaml.safe_load(invoke("config", "show", recipe, "--training").stdout)["train"]["weight_decay"] == 0.02
    assert "is valid" in invoke("config", "validate", recipe, "--training").stdout
    result = invoke("config", "validate", recipe, "--training", "train.seed=-1")
    assert result.exit_code == 2 and "train.seed" in result.stderr


def test_validate_measures_the_prompt_against_the_model(pipeline, home):
    model = ("engine.kind=transformers", f"model.checkpoint={home / 'pipelines/demo/random-pllava'}")
    assert invoke("config", "validate", pipeline, *model).exit_code == 0
    result = invoke("config", "validate", pipeline, *model, "engine.max_new_tokens=100000")
    assert result.exit_code == 2 and "lower max_new_tokens" in result.stderr


def test_inter4k_without_a_gpu_fails_at_once_and_says_what_is_missing(home, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    started = time.monotonic()
    result = subprocess.run(
        [RECAP, "run", home / "pipelines/inter4k.yaml", f"output.path={tmp_path / 'out'}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert time.monotonic() - started < 30
    assert result.returncode == 2
    assert "about 75 GB" in result.stderr and "no folder Inter4K" in result.stderr
    assert not (tmp_path / "out").exists()


def test_model_commands(home, tmp_path):
    checkpoint = home / "pipelines/demo/random-pllava"
    digest = invoke("model", "hash", checkpoint).stdout.strip()
    assert len(digest) == 40 and digest != invoke("model", "hash", checkpoint, "--full").stdout.strip()
    assert invoke("model", "merge", checkpoint, tmp_path / "merged", "--alpha", "8").exit_code == 0
    assert (tmp_path / "merged" / "language_model" / "config.json").exists()
    again = invoke("model", "merge", checkpoint, tmp_path / "merged")
    assert again.exit_code == 2 and "merged" in again.stderr


def test_no_file_of_another_kind_is_overwritten(pipeline, tmp_path):
    keep = tmp_path / "keep.yaml"
    keep.write_text("mine: 1\n")
    for command in (["export", tmp_path / "out", keep], ["view", tmp_path / "out", "--page", keep]):
        result = invoke(*command)
        assert result.exit_code == 2 and f"there is a file {keep} already: name another" in result.output
    assert keep.read_text() == "mine: 1\n"


@pytest.mark.parametrize("is_store", [False, True])
def test_what_mends_an_output_is_another_thing_in_a_store(tmp_path, monkeypatch, is_store):
    monkeypatch.setattr("recap.cli.outputs.is_store", lambda _: is_store)
    monkeypatch.setattr(verification, "verify", lambda *_: [verification.Difference("shards/a", "it is missing")])
    result = invoke("verify", tmp_path)
    assert result.exit_code == 1 and "1 difference: the same pipeline, run again" in result.stdout
    assert ("delete damaged shards first" in result.stdout) is is_store
    found = [verification.Difference(where, "cut") for where in ("recipe.json", "snapshot", "shards/a")]
    monkeypatch.setattr(verification, "verify", lambda *_: found)
    result = invoke("verify", tmp_path)
    assert "3 differences: no run mends recipe.json and snapshot, of which see above; after that" in result.stdout

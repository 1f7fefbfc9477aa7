from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from recap.pipeline import json_schema, load_pipeline, setting_names
from recap.pocket.recipes import load_tower_recipe, load_translator_recipe
from recap.training import recipe
from recap.training.recipe import load_recipe

HOME = Path(__file__).parents[1]
POCKET = {"tower.yaml": load_tower_recipe, "translator.yaml": load_translator_recipe}
MINIMAL = "corpus:\n  path: clips\noutput:\n  path: out\nmodel:\n  checkpoint: some/model\n"


def write(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_the_references(tmp_path):
    pipeline = load_pipeline(write(tmp_path, MINIMAL))
    assert (pipeline.frames.count, pipeline.frames.view) == (16, "crop")
    assert pipeline.model.lora_alpha == 4 and pipeline.engine.max_new_tokens == 400


def test_overrides_and_environment(tmp_path, monkeypatch):
    path = write(tmp_path, MINIMAL.replace("clips", "${CLIPS_ROOT:-here}/x"))
    assert load_pipeline(path).corpus.path == "here/x"
    monkeypatch.setenv("CLIPS_ROOT", "there")
    pipeline = load_pipeline(path, ["frames.count=8", "output.formats=[parquet]", "ray.address=auto"])
    assert pipeline.corpus.path == "there/x"
    assert (pipeline.frames.count, pipeline.output.formats, pipeline.ray.address) == (8, ("parquet",), "auto")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frames:\n  cuont: 8\n", r"line 8: there is no setting frames\.cuont; did you mean frames\.count\?"),
        ("'0':\n  count: 8\n", r"line 7: there is no setting 0; there are corpus, "),
        ("frame:\n  count: 8\n", r"line 7: there is no setting frame; did you mean frames\?"),
        ("rows_per_shard: 8\n", r"line 7: .*did you mean output\.rows_per_shard\?"),
        ("frames:\n  view: round\n", r"line 8: frames\.view must be crop, pad or wide, not 'round'"),
        ("frames:\n  count: many\n", r"line 8: frames\.count must be a whole number.*, not 'many'"),
        ("7: 8\n", r"line 7: there is no setting 7; there are corpus, "),
        ("review:\n  tolerate: []\n  loop_times: 0\n", r"line 9: review\.loop_times"),
        ("prompt:\n  instruction: ''\n", r"line 8: prompt\.instruction is empty"),
        ("engine:\n  max_new_tokens: 0\n", r"engine\.max_new_tokens"),
        (
            "prompt:\n  instruction: {dense: dense, zh: short}\ntranslation:\n  {languages: [zh], engine: llm}\n",
            r"the texts of both would be <clip_id>\.zh\.txt",
        ),
        ("review:\n  words: {dens: [1, 2]}\n", r"review\.words: there is no prompt 'dens'; there are dense"),
        ("engine:\n  kind: ${NO_SUCH_VARIABLE}\n", "NO_SUCH_VARIABLE is not set"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_pipeline(write(tmp_path, MINIMAL + text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model:\n  dtype: float32\n", r"says model twice, on lines 5 and 7"),
        ("frames:\n  count: 8\n  view: pad\n  count: 4\n", r"says frames\.count twice, on lines 8 and 10"),
        ("review:\n  words: {dense: [3, 9], dense: [4, 9]}\n", r"says review\.words\.dense twice, on lines 8 and 8"),
        ("data:\n  sets:\n  - {path: a, path: b}\n", r"says data\.sets\.0\.path twice, on lines 9 and 9"),
    ],
)
def test_what_is_said_twice_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_pipeline(write(tmp_path, MINIMAL + text))


@pytest.mark.parametrize("value", ["20240115", "2024_01", "010", "on", "12:30:45", "1e3", "x: y"])
def test_an_override_is_the_text_that_was_written_where_one_is_wanted(tmp_path, value):
    pipeline = load_pipeline(write(tmp_path, MINIMAL), [f"output.path={value}", f"model.revision={value}"])
    assert (pipeline.output.path, pipeline.model.revision) == (value, value)
    with pytest.raises(ValueError, match=r"model\.revision must be a text, not 123; write it in quotes$"):
        load_pipeline(write(tmp_path, MINIMAL + "  revision: 123\n"))


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("corpus", "/tmp", "corpus must be a section of settings (path, kind, "),
        ("data.sets", "a.json", "data.sets must be a list of sections of settings (path, root, weight), not 'a.json'"),
        ("translation.languages", "zh", "must be a list of texts, not 'zh'; write a list, [zh]"),
        ("translation.languages", "[no]", "languages.0 must be a text, not false; write it in quotes"),
        ("model.pooling", "[16, 12]", "model.pooling must be a list of 3 whole numbers"),
        ("model.dtype", "flaot16", "must be auto, float32, bfloat16 or float16, not 'flaot16'; did you mean float16?"),
        ("model.device_map", "1", "model.device_map must be a mapping of names to texts or whole numbers, not 1"),
        ("prompt.instruction", "[1]", "must be a text, a list of texts or a mapping of names to texts, not [1]"),
        ("engine.max_new_tokens", "1e9", "must be a whole number (at least 1), not '1e9'; write 1000000000"),
        ("engine.actors", "many", "engine.actors must be a whole number (at least 1) or auto, not 'many'"),
        ("model.pooling", "[true, 12, 12]", "model.pooling.0 must be a whole number"),
        ("translation.languages", "[zh, null]", "must be a text, not nothing"),
        ("engine.max_new_tokens", "true", "engine.max_new_tokens must be a whole number (at least 1), not true"),
        ("engine.actors", "false", "engine.actors must be a whole number (at least 1) or auto, not false"),
        ("engine.max_new_tokens", "0", "engine.max_new_tokens must be a whole number (at least 1), not 0"),
        ("decode.workers", "0", "decode.workers must be a whole number (at least 1) or auto, not 0"),
        ("review.repair_length", "9", "review.repair_length must be a number (at least 1 and at most 8), not 9"),
        ("ray.price_per_gpu_hour", "0", "ray.price_per_gpu_hour must be a number (above 0), not 0"),
        ("engine.max_new_tokens", "1.5", "must be a whole number (at least 1), not 1.5"),
        ("engine.cuda_graphs", "maybe", "engine.cuda_graphs must be true or false, not 'maybe'"),
        ("engine.kind", "", "engine.kind must be transformers, vllm or rehearsal, not nothing"),
        ("review.words", "{dense: 3}", "review.words.dense must be a list of 2 whole numbers"),
        ("train.seed", "[1]", "train.seed must be a whole number (at least 0 and below 4294967296), not [1]"),
    ],
)
def test_a_value_of_another_kind_is_told_what_is_wanted(tmp_path, setting, value, message):
    load, text = load_pipeline, MINIMAL
    if setting.startswith(("data", "train")):
        load, text = load_recipe, "model: {checkpoint: a/b}\ndata: {sets: [{path: a.json}]}\noutput: {path: out}\n"
    with pytest.raises(ValueError) as error:
        load(write(tmp_path, text), [f"{setting}={value}"])
    _, *problems = str(error.value).splitlines()
    assert len(problems) == 1 and message in problems[0]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.checkpoint=", r"the override model\.checkpoint=: model\.checkpoint is missing"),
        ("corpus.pattern=../*", r"the override corpus\.pattern=\.\./\*: corpus\.pattern must be a glob"),
        ("corpus.path=", r"the override corpus\.path=: corpus\.path is empty"),
        ("prompt.instruction={a: b, a: c}", r"the override '\{a: b, a: c\}' says a twice"),
        ("corpus.kind=heap", r"the override corpus\.kind=heap: corpus\.kind must be"),
        ("corpus.pat=x", r"the override corpus\.pat=x: there is no setting corpus\.pat"),
        ("output={formats: [parquet]}", r"the override output=\{.*\}: output\.path is missing"),
        ("output.formats=[parquet]", r"the override output\.formats=\[parquet\]: output\.include_video needs"),
    ],
)
def test_a_mistake_in_an_override_is_the_overrides(tmp_path, override, message):
    with pytest.raises(ValueError, match=message):
        load_pipeline(
            write(tmp_path, MINIMAL.replace("  path: out\n", "  path: out\n  include_video: yes\n")), [override]
        )


def test_an_override_is_not_blamed_for_a_line(tmp_path):
    with pytest.raises(ValueError, match=r"line 8: engine\.batch_size"):
        load_pipeline(write(tmp_path, MINIMAL + "engine:\n  batch_size: 0\n"), ["engine.threads=2"])


@pytest.mark.parametrize(
    "text", ["corpus: {path: ${CLIPS}, kind: folder}", "corpus:\n  path: ${CLIPS}\n  kind: folder"]
)
def test_a_variable_may_stand_anywhere(tmp_path, monkeypatch, text):
    path = write(tmp_path, MINIMAL.replace("corpus:\n  path: clips", text))
    with pytest.raises(ValueError, match=r"CLIPS is not set; set it, or write \$\{CLIPS:-default\}"):
        load_pipeline(path)
    monkeypatch.setenv("CLIPS", "a: [b")
    assert load_pipeline(path).corpus.path == "a: [b"
    with pytest.raises(ValueError, match=r"path: \$\{CLIPS\}"):
        load_pipeline(write(tmp_path, text + "\noutput: {path: ${CLIPS}]\n"))


@pytest.mark.parametrize(
    "override",
    [
        "decode.timeout_s=.inf",
        "decode.timeout_s=1e+10",
        "decode.memory_gb=.nan",
        "decode.memory_gb=1e+10",
        "decode.fetch_gb=.inf",
        "output.commit_every_s=1e+10",
        "output.grace_s=.nan",
        "review.compression_ratio=.inf",
        "review.length_ratio=[0.5, .inf]",
    ],
)
def test_numbers_that_no_machine_can_keep_are_refused(tmp_path, override):
    name = override.partition("=")[0]
    with pytest.raises(ValueError, match=name):
        load_pipeline(write(tmp_path, MINIMAL), [override])


def test_all_mistakes_come_at_once(tmp_path):
    with pytest.raises(ValueError) as error:
        load_pipeline(write(tmp_path, MINIMAL + "frames:\n  cuont: 8\n  view: round\n"))
    assert "frames.cuont" in str(error.value) and "frames.view" in str(error.value)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("prompt.instruction=Count the # of people", "Count the # of people"),
        ("prompt.instruction=describe: what moves", "describe: what moves"),
        ("prompt.instruction='describe: what moves'", "describe: what moves"),
        ("prompt.instruction=- say it short", "- say it short"),
        ("prompt.instruction=# of people", "# of people"),
        ("prompt.instruction={main: Say it., brief: dense}", {"main": "Say it.", "brief": "dense"}),
        ("output.path=2024-05-01", "2024-05-01"),
        ("output.path=2024-13-45", "2024-13-45"),
        ("output.path= out ", "out"),
        ("corpus.pattern=[ab]*.mp4", "[ab]*.mp4"),
        ("corpus.root=", None),
        ("review.words.dense=[3, 9]", (3, 9)),
    ],
)
def test_an_override_is_taken_whole(tmp_path, override, value):
    value_of = load_pipeline(write(tmp_path, MINIMAL), ["review.words=", override])
    for name in override.partition("=")[0].split("."):
        value_of = value_of[name] if isinstance(value_of, dict) else getattr(value_of, name)
    assert value_of == value


@pytest.mark.parametrize("override", ["frames.count", "=3", "corpus.path.x=3"])
def test_an_override_that_makes_no_sense_is_refused(tmp_path, override):
    with pytest.raises(ValueError, match="override"):
        load_pipeline(write(tmp_path, MINIMAL), [override])


@pytest.mark.parametrize(
    "value", ["{main: What happens?, brief: Say: it.}", "[dense, What: happens: here]", "[dense, 'x]"]
)
def test_a_list_or_mapping_that_is_none_is_not_taken_for_a_sentence(tmp_path, value):
    with pytest.raises(ValueError, match=r"is no list or mapping as YAML has them .*: quote texts"):
        load_pipeline(write(tmp_path, MINIMAL), [f"prompt.instruction={value}"])


def test_what_is_no_yaml_mapping_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        load_pipeline(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="mapping"):
        load_pipeline(write(tmp_path, "- a\n"))
    with pytest.raises(ValueError, match="YAML"):
        load_pipeline(write(tmp_path, "a: [b\n"))
    with pytest.raises(ValueError, match="YAML"):
        load_pipeline(write(tmp_path, "corpus: !python/object:os.system {}\n"))
    with pytest.raises(ValueError, match=r"YAML: .*recursion"):
        load_pipeline(write(tmp_path, "a: &a {b: *a}\n"))
    with pytest.raises(ValueError, match=r"YAML: .*digits"):
        load_pipeline(write(tmp_path, f"a: {'9' * 5000}\n"))
    with pytest.raises(ValueError, match=r"output\.formats is empty"):
        load_pipeline(write(tmp_path, MINIMAL.replace("path: out", "path: out\n  formats: []")))
    with pytest.raises(ValueError, match=r"output\.path is empty"):
        load_pipeline(write(tmp_path, MINIMAL), ["output.path="])
    with pytest.raises(ValueError, match=r"output.*missing"):
        load_pipeline(write(tmp_path, "corpus:\n  path: x\n"))


def test_a_model_is_needed_unless_it_is_a_rehearsal(tmp_path):
    text = MINIMAL.replace("model:\n  checkpoint: some/model\n", "engine: {}\n")
    with pytest.raises(ValueError, match=r"model\.checkpoint is missing"):
        load_pipeline(write(tmp_path, text))
    assert load_pipeline(write(tmp_path, text), ["engine.kind=rehearsal"]).model.checkpoint == ""


@pytest.mark.parametrize("path", sorted((HOME / "pipelines").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_yaml_loads(path):
    if path.name in POCKET:
        POCKET[path.name](path)
        return
    schema = (path.parent / path.read_text().splitlines()[0].split("$schema=")[1]).resolve()
    load = {"pipeline.schema.json": load_pipeline, "recipe.schema.json": load_recipe}[schema.name]
    load(path)
    assert schema.parent == HOME / "schemas"


def test_the_schema_on_disk_is_the_codes():
    on_disk = json.loads((HOME / "schemas" / "pipeline.schema.json").read_text())
    assert on_disk == json_schema(), "run `make schema`"
    assert json.loads((HOME / "schemas" / "recipe.schema.json").read_text()) == recipe.json_schema(), (
        "run `make schema`"
    )


def test_every_setting_is_described():
    for room in json_schema()["$defs"].values():
        for name, setting in room["properties"].items():
            assert setting.get("description"), name


def test_the_names_that_scripts_rely_on_exist():
    names = setting_names()
    for name in (
        "corpus.kind corpus.path corpus.pattern frames.count frames.view model.checkpoint model.revision "
        "model.base model.lora_alpha model.pooling model.dtype prompt.template prompt.instruction engine.kind "
        "engine.actors engine.gpus_per_actor engine.max_new_tokens decode.workers decode.memory_gb output.path "
        "output.formats output.rows_per_shard output.include_video ray.address"
    ).split():
        assert name in names


def test_the_page_of_settings_is_the_codes():
    spec = importlib.util.spec_from_file_location("make_settings", HOME / "docs" / "make_settings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    on_disk = (HOME / "docs" / "settings.md").read_text()
    assert on_disk == module.settings_page() + "\n", "run `make schema`"

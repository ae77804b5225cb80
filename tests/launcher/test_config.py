import dataclasses
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
import typing
from pathlib import Path

import jsonschema
import pytest

from launcher.config import loading, reference
from launcher.config.settings import FLAGS, RECIPES, SYNTHETIC_ONLY, Train, as_settings, tables
from launcher.errors import ConfigError
from launcher.jobs import plan
from launcher.jobs.states import Phase
from launcher.machines.base import MachinePlan

CASES = tomllib.loads(
    (Path(__file__).parent / "cases" / "bad_configs.toml").read_text(encoding="utf-8")
)["case"]
ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
MACHINE = MachinePlan("local", [], 0.0, "")


def write(path, text):
    """A config file with this text."""
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def words(tmp_path):
    """The smallest config that is valid."""
    return write(tmp_path / "my_words.toml", "words.wanted = ['yes']\ndata.synthetic_clips = 5")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_bad_config_is_refused_in_one_sentence(case, tmp_path):
    """A bad config is refused with the file, the key and what would be right."""
    path = write(tmp_path / "bad.toml", case["config"])
    with pytest.raises(ConfigError) as refusal:
        loading.load(path, tuple(case.get("overrides", ())))
    said = f"{refusal.value} {refusal.value.hint}"
    assert refusal.value.exit_code == 2
    for part in case["says"]:
        assert part in said
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.name)
def test_every_file_in_configs_is_valid(path):
    """Every file in configs/ can be loaded, and names the schema for editors."""
    assert loading.load(path).words.wanted
    assert path.read_text(encoding="utf-8").startswith("#:schema ./schema.json\n")


@pytest.mark.parametrize("seed", range(4))
def test_first_unknown_key_is_the_first_in_the_file(seed, tmp_path):
    """The first unknown key in the file is named, whatever the hash seed, with the number of
    others."""
    path = write(tmp_path / "bad.toml", "zebra = 1\nape = 2\n[train]\nsead = 3\nwanted = 4")
    done = subprocess.run(
        [sys.executable, "-m", "launcher", "plan", str(path)],
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
    )
    assert (
        done.stderr.splitlines()[0]
        == f"error: {path}: unknown key zebra (and ape, train.sead, train.wanted)"
    )


def test_missing_file_names_its_neighbour(tmp_path):
    """A misspelt file name gets the nearest file, or built-in config, as a hint."""
    (tmp_path / "spotter.toml").touch()
    with pytest.raises(ConfigError, match="no such config file") as refusal:
        loading.load(tmp_path / "spoter.toml")
    assert f"did you mean {tmp_path / 'spotter.toml'}?" in refusal.value.hint
    with pytest.raises(ConfigError, match="quikstart: no such config file") as refusal:
        loading.load(Path("quikstart"))
    assert "did you mean quickstart?" in refusal.value.hint
    assert "built-in: any_words, cheapest, classic, quickstart, yes_no" in refusal.value.hint


def test_built_in_configs_are_the_files_in_configs():
    """The package holds every config of configs/, with the same bytes."""
    found = {path.name: path.read_bytes() for path in loading.built_in().values()}
    assert found == {path.name: path.read_bytes() for path in CONFIGS.glob("*.toml")}


def test_file_goes_before_built_in_config(tmp_path, monkeypatch):
    """The name of a built-in config works in any folder, unless a file has that name."""
    monkeypatch.chdir(tmp_path)
    name = Path("quickstart")
    assert loading.load(name) == loading.load(CONFIGS / "quickstart.toml")
    assert loading.digest(name) == loading.digest(CONFIGS / "quickstart.toml")
    name.mkdir()
    assert loading.load(name).words.wanted == ("yes", "no")
    name.rmdir()
    write(name, "words.wanted = 'up'\ndata.synthetic_clips = 5")
    assert loading.load(name).words.wanted == ("up",)


def test_paths_are_relative_to_where_they_are_written(tmp_path):
    """A relative folder starts at the file it stands in, or, in an override, at the current one."""
    path = write(tmp_path / "words.toml", "words.wanted = 'yes'\ndata.folder = 'clips'")
    assert loading.load(path).data.folder == tmp_path / "clips"
    assert loading.load(path, ("data.folder=clips",)).data.folder == Path("clips")


def test_overrides_are_toml_or_text(words):
    """An override may be a number, a list or bare text."""
    changed = loading.load(
        words, ("train.seed=7", "words.wanted=['a', 'b']", "train.preprocess=average")
    )
    assert changed.train.seed == 7
    assert changed.words.wanted == ("a", "b")
    assert changed.train.preprocess == "average"
    assert changed.name == "my-words"


def test_settings_page_is_up_to_date():
    """docs/settings.md is what docs/settings.py makes."""
    page = runpy.run_path(str(ROOT / "docs" / "settings.py"))["page"]()
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == page


def test_schema_file_is_up_to_date():
    """configs/schema.json, which the package holds too, is what `launcher schema` prints."""
    schema = json.loads((CONFIGS / "schema.json").read_text(encoding="utf-8"))
    assert schema == json.loads(json.dumps(reference.schema()))
    assert reference.SCHEMA.read_bytes() == (CONFIGS / "schema.json").read_bytes()
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.Draft4Validator.check_schema(schema)  # taplo promises no more than draft 4


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.name)
def test_schema_accepts_every_file_in_configs(path):
    """The JSON Schema accepts the configs that the launcher accepts."""
    config = tomllib.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(config, reference.schema())
    jsonschema.validate(tomllib.loads(reference.starter(["a"])), reference.schema())


@pytest.mark.parametrize(
    "case", [case for case in CASES if "TOML" not in case["name"]], ids=lambda case: case["name"]
)
def test_schema_refuses_what_settings_alone_refuse(case):
    """The JSON Schema refuses unknown keys, wrong types, bounds and choices, and nothing else."""
    validator = jsonschema.Draft7Validator(json.loads(json.dumps(reference.schema())))
    accepted = validator.is_valid(tomllib.loads(case["config"]))
    assert accepted is not case.get("schema", False)


def test_starter_states_what_its_comments_say(tmp_path):
    """With every comment made a setting, the config of `launcher init` asks for the same job."""
    text = reference.starter(["computer", "lights on"])
    path = write(tmp_path / "words.toml", text)
    start = loading.load(path)
    assert start.words.wanted == ("computer", "lights on")
    names = [spec.name for cls in tables().values() for spec in reference.settings(cls)]
    assert re.findall(rf"(?m)^(?:# )?({'|'.join(names)}) = ", text) == names
    every = re.sub(rf"(?m)^# ((?:{'|'.join(names)}) = )", r"\1", text)
    assert loading.load(write(path, every)) == dataclasses.replace(start, train=start.training)


@pytest.mark.parametrize(
    ("word", "name"),
    [("computer", "computer"), ("Lights on", "lights_on"), ("2 up", "words"), ("да", "words")],
)
def test_starter_has_name_that_a_job_can_have(word, name, tmp_path):
    """The file of `launcher init` is named after the first word, if a job can have that name."""
    path = write(tmp_path / reference.starter_name([word, "no"]), reference.starter([word, "no"]))
    assert path.name == f"{name}.toml"
    assert loading.load(path).name == name.replace("_", "-")


def trainer_flags():
    """The trainer's own flags by name, as argparse has them."""
    from vm_startup.speech_commands import flags

    parser = flags.trainer()
    return parser, {action.dest: action for action in parser._actions}


def spec_of(setting):
    """The field of a setting such as train.seed."""
    table, key = setting.split(".")
    return tables()[table].__dataclass_fields__[key]


def test_every_setting_of_the_trainer_has_its_flag():
    """Each setting of [words], [data] and [train] is one flag of the trainer."""
    settings = [
        f"{table}.{spec.name}"
        for table in ("words", "data", "train")
        for spec in reference.settings(tables()[table])
    ]
    assert list(FLAGS.values()) == settings
    assert FLAGS.keys() <= trainer_flags()[1].keys()


@pytest.mark.parametrize("flag", FLAGS)
def test_trainer_accepts_bounds_and_choices_of_setting(flag):
    """The trainer's flag takes the setting's lowest and highest value, and its choices are the
    same; mfcc features, which no firmware has, are the trainer's alone."""
    parser, known = trainer_flags()
    spec = spec_of(FLAGS[flag])
    for bound in (spec.metadata["low"], spec.metadata["high"]):
        if bound is not None:
            parser.parse_args([f"--{flag}={bound}"])
    choices = {
        choice
        for kind in (spec.type, *typing.get_args(spec.type))
        if typing.get_origin(kind) is typing.Literal
        for choice in typing.get_args(kind)
    }
    assert choices == set(known[flag].choices or ()) - {"mfcc"}


def test_every_network_has_its_defaults():
    """Each network of the trainer is a choice, and has a default for every setting of [train]
    that has none of its own."""
    from vm_startup.speech_commands.model.architectures import ARCHITECTURES

    open_settings = {spec.name for spec in dataclasses.fields(Train) if spec.default is None}
    assert RECIPES.keys() == ARCHITECTURES.keys()
    assert SYNTHETIC_ONLY.keys() <= open_settings
    for recipe in RECIPES.values():
        assert recipe.keys() == open_settings


@pytest.mark.parametrize("network", RECIPES)
def test_defaults_of_networks_are_valid_settings(network, words):
    """A network's defaults, written into a config, are accepted and change nothing."""
    chosen = (f"train.model_architecture={network}", "data.folder=clips")
    implied = loading.load(words, chosen)
    stated = [f"train.{key}={reference.toml(value)}" for key, value in RECIPES[network].items()]
    assert loading.load(words, (*chosen, *stated)).train == implied.training


def test_synthetic_speech_alone_is_made_harder(words):
    """Without recordings clips vary more; a folder, an archive or the config itself prevents it."""
    alone = loading.load(words).training
    assert (alone.augmentation, alone.mixup, alone.time_mask) == ("hard", 0.5, 6)
    for other in ("data.folder=here", "data.archive=v0.02", "train.augmentation=room"):
        assert loading.load(words, (other,)).training.augmentation == "room"


def flags_of(config):
    """The trainer's flags in the plan of a config: name → text; and the plan."""
    made = plan.make(config, "words-1", "vm_startup", MACHINE)
    _, _, _, *stated = shlex.split(made.steps[Phase.TRAIN])
    return dict(flag.removeprefix("--").split("=", 1) for flag in stated), made


def test_plan_states_every_choice_of_the_training(words):
    """For our trainer the plan states each flag that a setting decides, and the steps."""
    flags, made = flags_of(loading.load(words))
    assert flags.keys() >= FLAGS.keys()
    assert (flags["optimizer"], flags["how_many_training_steps"]) == ("adam", "6000")
    assert (flags["quantize"], flags["learning_rate"]) == ("1", "0.001")
    assert made.total_steps == 6000


def test_plan_leaves_upstream_its_defaults(words):
    """For TensorFlow's own trainer the plan states only what the config does, and its steps are
    known."""
    from vm_startup.speech_commands import flags as command_line

    upstream = ("machine.recipe=upstream", "data.synthetic_clips=0", "data.archive=v0.02")
    flags, made = flags_of(loading.load(words, upstream))
    assert not {"optimizer", "how_many_training_steps", "echo"} & flags.keys()
    assert made.total_steps == sum(command_line.trainer().get_default("how_many_training_steps"))
    flags, made = flags_of(loading.load(words, (*upstream, "train.optimizer=momentum")))
    assert flags["optimizer"] == "momentum"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("--learning_rate below 1", "train.learning_rate below 1"),
        ("--data_sha256 x; --data_url=y", "data.archive_sha256 x; data.archive=y"),
        ("--wanted_words and --train_dir", "words.wanted and --train_dir"),
    ],
)
def test_message_of_trainer_names_settings(message, shown):
    """In a message of the trainer each flag that a setting decides is named as the setting."""
    assert as_settings(message) == shown

import pytest
from tiny_training import VM_STARTUP

from vm_startup.speech_commands import flags as command_line
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.model import networks

CLASSIC = (
    "--model_architecture=tiny_conv --window_stride=20 --preprocess=micro --wanted_words=yes,no "
    "--silence_percentage=25 --unknown_percentage=25 --quantize=1"
)


def test_classic_recipe_parses():
    """The flags that people have copied since 2019 keep their meaning."""
    flags = command_line.trainer().parse_args(CLASSIC.split())
    settings = command_line.audio_settings(flags)
    assert (settings.frames, settings.width, settings.preprocess) == (49, 40, "micro")
    assert flags.quantize is True
    assert flags.silence_percentage == flags.unknown_percentage == 25


def test_defaults_are_upstreams():
    """A missing flag has the value of TensorFlow's trainer."""
    flags = command_line.trainer().parse_args([])
    assert flags.how_many_training_steps == [15000, 3000]
    assert flags.learning_rate == [0.001, 0.0001]
    assert (flags.batch_size, flags.eval_step_interval, flags.save_step_interval) == (100, 400, 100)
    assert (flags.background_volume, flags.background_frequency) == (0.1, 0.8)
    assert (flags.time_shift_ms, flags.preprocess, flags.quantize) == (100, "mfcc", False)
    assert (flags.optimizer, flags.echo) == ("gradient_descent", 1)


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("True", True), ("0", False), ("false", False)]
)
def test_boolean_flag_can_be_false(text, value):
    """--quantize=0 switches quantisation off."""
    assert command_line.trainer().parse_args([f"--quantize={text}"]).quantize is value


@pytest.mark.parametrize(
    "wrong",
    [
        "--quantize=maybe",
        "--preprocess=fft",
        "--model_architecture=conv",
        "--batch_size=0",
        "--seed=-1",
        "--validation_percentage=-1",
        "--synthetic_clips=-1",
        "--learning_rate=0.1,nan",
        "--learning_rate=0",
        "--how_many_training_steps=10,-1",
        "--how_many_training_steps=",
        "--background_volume=1.5",
        "--save_format=saved_model",
        "--no_such_flag=1",
    ],
)
def test_wrong_flag_ends_with_code_2(wrong, capsys):
    """The error names the flag."""
    with pytest.raises(SystemExit) as stop:
        command_line.trainer().parse_args([wrong])
    assert stop.value.code == 2
    assert wrong.split("=")[0].split("_")[0] in capsys.readouterr().err


def test_lists_of_steps_and_rates_have_one_length():
    """Each stage of training has its rate."""
    flags = command_line.trainer().parse_args(["--how_many_training_steps=1,2,3"])
    with pytest.raises(DataError, match="has 3 numbers and --learning_rate has 2"):
        command_line.check_training(flags)


@pytest.mark.parametrize("percentages", [(0, 10), (10, 0), (60, 40)])
def test_percentages_that_leave_a_split_empty_are_refused(percentages):
    """Each split needs a share."""
    names = "--validation_percentage", "--testing_percentage"
    given = [f"{name}={value}" for name, value in zip(names, percentages, strict=True)]
    flags = command_line.trainer().parse_args(given)
    with pytest.raises(DataError, match="leave a split empty"):
        command_line.check_training(flags)


def test_each_network_has_its_recipe():
    """A missing flag has the value that experiments found best for the network."""
    time = command_line.training(["--model_arch=time_conv"])
    assert (time.optimizer, time.schedule, time.learning_rate) == ("adam", "cosine", [0.002])
    assert (time.dropout, time.time_mask, time.frequency_mask) == (0.2, 6, 5)
    tiny = command_line.training([])
    assert (tiny.how_many_training_steps, tiny.learning_rate) == ([6000], [0.001])
    assert (tiny.dropout, tiny.label_smoothing, tiny.time_mask) == (0.5, 0.1, 0)
    assert (tiny.augmentation, tiny.mixup) == ("room", 0)


def test_synthetic_speech_alone_is_augmented_more():
    """Clips vary more without recordings, from a folder or an archive, than with them."""
    alone = command_line.training(["--synthetic_clips=9"])
    assert (alone.augmentation, alone.mixup, alone.time_mask) == ("hard", 0.5, 6)
    for recordings in ("--data_dir=here", "--data_url=https://there"):
        assert command_line.training(["--synthetic_clips=9", recordings]).augmentation == "room"
    said = ["--synthetic_clips=9", "--mixup=0", "--augmentation=shift"]
    assert command_line.training(said).augmentation == "shift"
    assert command_line.training(said).mixup == 0


def test_given_flags_override_the_recipe():
    """A given flag has the same meaning for every network."""
    said = ["--optimizer=gradient_descent", "--schedule=stages", "--dropout=0.5", "--warm_up=0"]
    flags = command_line.training(["--model_architecture=time_conv", *said])
    assert (flags.optimizer, flags.schedule) == ("gradient_descent", "stages")
    assert (flags.dropout, flags.warm_up) == (0.5, 0)


@pytest.mark.parametrize("architecture", networks.ARCHITECTURES)
def test_every_network_is_a_flag_with_a_recipe_and_a_document(architecture):
    """The flags offer each network, its recipe is complete, and the settings' page names it."""
    flags = command_line.training([f"--model_architecture={architecture}"])
    assert flags.model_architecture == architecture
    assert command_line.RECIPES.keys() == networks.ARCHITECTURES.keys()
    known = vars(flags)
    assert set(command_line.RECIPES[architecture]) | set(command_line.SYNTHETIC_ONLY) <= set(known)
    assert architecture in (VM_STARTUP.parent / "docs" / "settings.md").read_text()
    assert architecture in networks.__doc__

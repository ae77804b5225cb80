import pytest

from vm_startup.speech_commands import flags as command_line
from vm_startup.speech_commands.errors import DataError

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
    assert (flags.optimizer, flags.dropout) == ("gradient_descent", 0.5)


def test_defaults_of_own_flags_change_nothing():
    """The flags that TensorFlow's trainer does not have are without effect by default."""
    flags = command_line.trainer().parse_args([])
    assert (flags.schedule, flags.augmentation, flags.echo) == ("stages", "shift", 1)
    for name in ("warm_up", "label_smoothing", "time_mask", "frequency_mask", "mixup"):
        assert getattr(flags, name) == 0
    for name in ("weight_decay", "early_stop", "synthetic_clips", "seed"):
        assert getattr(flags, name) == 0


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("True", True), ("0", False), ("false", False)]
)
def test_boolean_flags_accept_words_and_digits(text, value):
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

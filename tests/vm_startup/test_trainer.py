"""Which weights a training keeps, and when it ends."""

import json

import numpy as np
import pytest
import tiny_training

from vm_startup.speech_commands import flags, freeze, train
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.evaluation import metrics
from vm_startup.speech_commands.model import checkpoint
from vm_startup.speech_commands.sources import load_data

EVERY_STEP = ("--eval_step_interval=1", "--save_step_interval=1")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def trainer(recordings, cache, tmp_path):
    """Makes trainers of the same training."""

    def make(*more):
        given = [*tiny_training.FLAGS, f"--data_dir={recordings}", f"--train_dir={tmp_path}"]
        given += [f"--summaries_dir={tmp_path}/logs", f"--cache_dir={cache}", *EVERY_STEP, *more]
        chosen = flags.trainer().parse_args(given)
        return train.Trainer(chosen, flags.audio_settings(chosen), load_data(chosen))

    return make


def with_scores(trainer, correct, cross_entropies):
    """A trainer whose validations of four clips have these scores, one after the other."""
    answers = iter(zip(correct, cross_entropies, strict=True))

    def score(_):
        hits, cross_entropy = next(answers)
        return metrics.Score(np.diag([hits, 0, 0, 0]) + np.diag([4 - hits, 0, 0], 1)), cross_entropy

    trainer.score = score
    return trainer


def weights(trainer):
    return trainer.network.state["final_fc_weights"].numpy()


def test_best_weights_are_evaluated_and_frozen(trainer, tmp_path):
    """If later steps only get worse, metrics and graph are those of the step before."""
    one = with_scores(trainer("--how_many_training_steps=2,2"), [1, 4, 1, 0], [1, 1, 1, 1])
    one.train(tmp_path)
    last, kept = weights(one), one.best.model["final_fc_weights"]
    assert not np.array_equal(last, kept)
    one.finish(tmp_path)
    assert np.array_equal(weights(one), kept)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["steps"], metrics["kept_step"]) == (4, 2)
    words = ["--wanted_words=yes,no", "--preprocess=micro", "--window_stride=20", "--quantize=1"]
    freeze.main([*words, f"--start_checkpoint={tmp_path}", f"--output_file={tmp_path}/a.pb"])
    assert kept.tobytes() in (tmp_path / "a.pb").read_bytes()
    assert last.tobytes() not in (tmp_path / "a.pb").read_bytes()


def test_early_stop_ends_a_training(trainer, tmp_path):
    """Two validations in a row without a lower cross entropy end it, and a resumed trainer does no
    further step."""
    one = with_scores(trainer("--early_stop=2"), [2] * 5, [0.9, 0.5, 0.4, 0.6, 0.4])
    one.train(tmp_path)
    assert (one.step, one.best.step) == (5, 5)
    again = trainer("--early_stop=2")
    again.resume(tmp_path)
    assert (again.step, again.ended) == (5, True)


def guessed(hits, cross_entropy):
    """A validation of twelve clips, three of each label: `hits` of each are right."""
    right, wrong = np.diag([hits] * 4), np.roll(np.diag([3 - hits] * 4), 1, 1)
    return metrics.Score(right + wrong), cross_entropy


def test_exploded_loss_ends_a_training_that_learnt_nothing(trainer, tmp_path):
    """A loss far above that of guessing, though it is a number, ends training with a hint."""
    message = (
        r"the training diverged: cross entropy is \d.*e\+\d+ at step \d, and a model that guesses "
        r"has 1\.4; use a --learning_rate below 0\.3"
    )
    with pytest.raises(DataError, match=message):
        trainer("--learning_rate=0.3,0.3").train(tmp_path)


def test_exploded_loss_after_a_good_validation_is_said(trainer, tmp_path, caplog, monkeypatch):
    """A training with good weights goes on; log and metrics name the step at which it exploded,
    also after a resumption."""
    monkeypatch.setattr(train.log, "propagate", True)
    one = trainer("--how_many_training_steps=2,1")
    answers = iter([guessed(3, 0.5), guessed(1, 1e8), guessed(3, 0.6)])
    one.score = lambda _: next(answers)
    one.train(tmp_path)
    assert (
        "The loss exploded: cross entropy is 1e+08 at step 2, and a model that guesses has 1.4; "
        "use a --learning_rate below 0.002. The weights of step 1 are kept"
    ) in caplog.messages
    again = trainer("--how_many_training_steps=2,1")
    again.resume(tmp_path)
    again.finish(tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text())["exploded_step"] == 2


def test_training_without_other_words_prints_no_figure(trainer, tmp_path, caplog, monkeypatch):
    """Neither log nor metrics have an accuracy or a rate of false accepts, but what to add."""
    monkeypatch.setattr(train.log, "propagate", True)
    caplog.set_level("INFO", train.log.name)
    one = trainer("--how_many_training_steps=1,1", "--unknown_percentage=0")
    one.train(tmp_path)
    one.finish(tmp_path)
    said = [message for message in caplog.messages if not message.startswith("Step #")]
    assert not [message for message in said if "accuracy = " in message or "per hour" in message]
    reason = "no other words to judge by: add a folder of other words"
    assert [message for message in said if message.startswith(f"Stream: not judged: {reason}")]
    assert said[-1].startswith(f"Final test accuracy is not judged: {reason}")
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["testing"]["accuracy"] is found["stream"]["operating_point"] is None
    assert found["testing"]["by_source"]["folder"]["accuracy"] is None


def test_high_loss_that_has_not_exploded_goes_on(trainer, tmp_path):
    """A model that is sure of its errors is trained on: it may still learn."""
    one = trainer("--how_many_training_steps=2,1")
    one.score = lambda _: guessed(0, 100.0)
    one.train(tmp_path)
    assert (one.step, one.best.exploded) == (3, 0)


def test_resumed_training_keeps_the_same_best_weights(trainer, tmp_path):
    """Weights, slots and best weights of a resumed training are those of an uninterrupted one, bit
    for bit."""
    for folder, cut in (("whole", 99), ("cut", 5)):
        (tmp_path / folder).mkdir()
        first = trainer()
        train_step = first.network.train_step

        def until_cut(step, *batch, cut=cut, train_step=train_step):
            if step > cut:
                raise KeyboardInterrupt
            return train_step(step, *batch)

        first.network.train_step = until_cut
        try:
            first.train(tmp_path / folder)
        except KeyboardInterrupt:
            second = trainer()
            second.resume(tmp_path / folder)
            assert second.best.step > 0
            second.train(tmp_path / folder)
    whole, cut = (checkpoint.latest(tmp_path / name, "tiny_conv")[1] for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all(np.array_equal(whole[name], cut[name]) for name in whole)


def test_diverged_model_is_neither_saved_nor_kept(trainer, tmp_path):
    """A weight that is not a number ends the training with a sentence."""
    one = trainer()
    one.network.state["first_bias"].assign(np.full(8, np.inf, np.float32))
    for action in (one.save, lambda folder: one.validate(train.Curves(folder))):
        with pytest.raises(DataError, match="training diverged: first_bias is inf at step 0"):
            action(tmp_path)
    assert one.best.step == 0
    assert checkpoint.latest(tmp_path, "tiny_conv") is None


def test_start_checkpoint_of_another_network_is_refused(trainer, tmp_path):
    """A checkpoint without flags is refused too, and so is a folder without one."""
    other = checkpoint.save(tmp_path, "conv", 1, {"Variable": np.zeros(3, np.float32)}, {})
    with pytest.raises(DataError, match="has no first_weights: it is not of the network tiny"):
        trainer(f"--start_checkpoint={other}").resume(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty has no readable checkpoint tiny_conv.ckpt-N"):
        trainer(f"--start_checkpoint={tmp_path}/empty").resume(tmp_path)
    named = checkpoint.save(tmp_path, "x", 1, {}, {"model_architecture": "time_conv"})
    with pytest.raises(DataError, match="--model_architecture=time_conv, not tiny_conv"):
        trainer(f"--start_checkpoint={named}").resume(tmp_path)

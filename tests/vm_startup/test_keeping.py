"""What a training keeps for its end, and when it ends."""

import json

import numpy as np
import pytest
import tiny_training

from vm_startup.speech_commands import flags, freeze, train
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.evaluation import metrics
from vm_startup.speech_commands.model import checkpoint

EVERY_STEP = ("--eval_step_interval=1", "--save_step_interval=1")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def trainer(recordings, cache, tmp_path):
    """Makes trainers of one and the same training."""

    def make(*more):
        given = [*tiny_training.FLAGS, f"--data_dir={recordings}", f"--train_dir={tmp_path}"]
        given += [f"--summaries_dir={tmp_path}/logs", f"--cache_dir={cache}", *EVERY_STEP, *more]
        chosen = flags.trainer().parse_args(given)
        return train.Trainer(chosen, flags.audio_settings(chosen), train.load_data(chosen))

    return make


def judged(trainer, right, cross_entropies):
    """A trainer whose validations of four clips come out so, one after the other."""
    answers = iter(zip(right, cross_entropies, strict=True))

    def score(_):
        hits, cross_entropy = next(answers)
        return metrics.Score(np.diag([hits, 0, 0, 0]) + np.diag([4 - hits, 0, 0], 1)), cross_entropy

    trainer.score = score
    return trainer


def weights(trainer):
    return trainer.learner.state["final_fc_weights"].numpy()


def test_the_model_kept_is_the_one_judged_and_frozen(trainer, tmp_path):
    """When later steps only get worse, metrics and graph are those of the step before."""
    one = judged(trainer("--how_many_training_steps=2,2"), [1, 4, 1, 0], [1, 1, 1, 1])
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


def test_a_training_ends_when_validation_no_longer_gets_better(trainer, tmp_path):
    """Two validations in a row without a lower cross entropy are enough where that is asked for;
    and who calls the trainer again gets no step more."""
    one = judged(trainer("--early_stop=2"), [2] * 5, [0.9, 0.5, 0.4, 0.6, 0.4])
    one.train(tmp_path)
    assert (one.step, one.best.step) == (5, 5)
    again = trainer("--early_stop=2")
    again.resume(tmp_path)
    assert (again.step, again.ended) == (5, True)


def test_a_training_cut_short_keeps_what_it_would_have_kept(trainer, tmp_path):
    """Weights, memories and what is kept of a training that went on from its checkpoint are those
    of one that nobody disturbed, bit for bit."""
    for folder, cut in (("whole", 99), ("cut", 5)):
        (tmp_path / folder).mkdir()
        first = trainer()
        learn = first.learner.learn

        def until_cut(step, *batch, cut=cut, learn=learn):
            if step > cut:
                raise KeyboardInterrupt
            return learn(step, *batch)

        first.learner.learn = until_cut
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


def test_a_diverged_model_is_neither_saved_nor_kept(trainer, tmp_path):
    """A weight that is no number ends the training with a sentence."""
    one = trainer()
    one.learner.state["first_bias"].assign(np.full(8, np.inf, np.float32))
    for judge in (one.save, lambda folder: one.validate(train.Curves(folder))):
        with pytest.raises(DataError, match="first_bias is inf at step 0: training has diverged"):
            judge(tmp_path)
    assert one.best.step == 0
    assert checkpoint.latest(tmp_path, "tiny_conv") is None


def test_a_checkpoint_of_another_network_is_no_start(trainer, tmp_path):
    """Not even one that says nothing about itself; nor a folder without any."""
    other = checkpoint.save(tmp_path, "conv", 1, {"Variable": np.zeros(3, np.float32)}, {})
    with pytest.raises(DataError, match="holds no first_weights: it is not of the network tiny"):
        trainer(f"--start_checkpoint={other}").resume(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no checkpoint tiny_conv.ckpt-N"):
        trainer(f"--start_checkpoint={tmp_path}/empty").resume(tmp_path)
    named = checkpoint.save(tmp_path, "x", 1, {}, {"model_architecture": "time_conv"})
    with pytest.raises(DataError, match="--model_architecture=time_conv, not tiny_conv"):
        trainer(f"--start_checkpoint={named}").resume(tmp_path)

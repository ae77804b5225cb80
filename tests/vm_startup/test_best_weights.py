import numpy as np
import pytest

from vm_startup.speech_commands.model import checkpoint
from vm_startup.speech_commands.model.best_weights import BestWeights

STEP = 100


def after(correct, count=50, cross_entropies=None):
    """What is known after validations with so many right answers, one each STEP steps."""
    best = BestWeights()
    for index, hits in enumerate(correct):
        cross_entropy = cross_entropies[index] if cross_entropies else 1.0
        model = {"first_weights": np.full(2, index, np.float32)}
        best.update(STEP * (index + 1), hits / count, count, cross_entropy, model)
    return best


@pytest.mark.parametrize(
    ("correct", "kept"),
    [
        ([40, 45, 44], 3),  # one clip of 50 is no difference
        ([40, 45, 41], 3),  # two standard errors at 45 of 50 are 4.2 clips
        ([40, 45, 40], 2),
        ([45, 42, 47, 46, 40], 4),
        ([50, 49], 1),  # nobody doubts a perfect score
        ([0], 1),
    ],
)
def test_latest_weights_not_clearly_worse_are_kept(correct, kept):
    """A lucky early validation is replaced by a later one unless that is clearly worse."""
    best = after(correct)
    assert best.step == kept * STEP
    assert best.model["first_weights"][0] == kept - 1


def test_waited_counts_validations_by_cross_entropy():
    """It counts validations since the lowest cross entropy, independently of the accuracy."""
    assert after([40, 41, 42, 43], cross_entropies=[0.5, 0.4, 0.4, 0.6]).waited == 2
    assert after([40, 40, 40], cross_entropies=[0.5, 0.6, 0.3]).waited == 0


def test_best_weights_survive_a_checkpoint(tmp_path):
    """They are read from a checkpoint as they were saved; another trainer's checkpoint has none."""
    best = after([40, 45, 43])
    prefix = checkpoint.save(tmp_path, "tiny_conv", 300, best.as_values(), {})
    again = BestWeights.of(checkpoint.load(prefix))
    assert (again.step, again.waited) == (best.step, best.waited)
    assert (again.accuracy, again.cross_entropy) == (best.accuracy, best.cross_entropy)
    assert np.array_equal(again.model["first_weights"], best.model["first_weights"])
    assert BestWeights.of({"first_weights": np.zeros(2)}) == BestWeights()

import numpy as np
import pytest

from vm_startup.speech_commands.model import checkpoint
from vm_startup.speech_commands.model.best_weights import Best

STEP = 100


def seen(right, count=50, cross_entropies=None):
    """What is known after validations with so many right answers, one each STEP steps."""
    best = Best()
    for index, hits in enumerate(right):
        cross_entropy = cross_entropies[index] if cross_entropies else 1.0
        model = {"first_weights": np.full(2, index, np.float32)}
        best.see(STEP * (index + 1), hits / count, count, cross_entropy, model)
    return best


@pytest.mark.parametrize(
    ("right", "kept"),
    [
        ([40, 45, 44], 3),  # one clip of 50 is no difference
        ([40, 45, 41], 3),  # two standard errors at 45 of 50 are 4.2 clips
        ([40, 45, 40], 2),
        ([45, 42, 47, 46, 40], 4),
        ([50, 49], 1),  # nobody doubts a perfect score
        ([0], 1),
    ],
)
def test_the_latest_of_the_good_ones_is_kept(right, kept):
    """A lucky early validation gives way to a later one unless that is clearly worse."""
    best = seen(right)
    assert best.step == kept * STEP
    assert best.model["first_weights"][0] == kept - 1


def test_patience_is_counted_by_cross_entropy():
    """Validations since the lowest cross entropy, whatever the accuracy does."""
    assert seen([40, 41, 42, 43], cross_entropies=[0.5, 0.4, 0.4, 0.6]).waited == 2
    assert seen([40, 40, 40], cross_entropies=[0.5, 0.6, 0.3]).waited == 0


def test_a_checkpoint_remembers_it(tmp_path):
    """What comes back from a checkpoint is what was saved; another trainer's holds none of it."""
    best = seen([40, 45, 43])
    prefix = checkpoint.save(tmp_path, "tiny_conv", 300, best.as_values(), {})
    again = Best.of(checkpoint.load(prefix))
    assert (again.step, again.waited) == (best.step, best.waited)
    assert (again.accuracy, again.cross_entropy) == (best.accuracy, best.cross_entropy)
    assert np.array_equal(again.model["first_weights"], best.model["first_weights"])
    assert Best.of({"first_weights": np.zeros(2)}) == Best()

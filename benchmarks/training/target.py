"""The time until a training's validation reaches upstream's 90.2 % after 3,600 steps.

The time starts with the trainer, without TensorFlow's import. It includes the front end's build,
reading the clips, tracing and earlier validations. The split is FOLDER's own. For the recordings
that upstream was measured on it has 51 validation clips: one clip more or less is two points, and
the first of many validations to reach a figure is lucky. So the output shows several seeds, and the
accuracy at the end of each training.
"""

from pathlib import Path

import _trials
import _watched

GOAL_SECONDS, GOAL_ACCURACY = 30, 0.9019  # 46 of 51
SEEDS = 3
FLAGS = {
    "tiny_conv": ("--how_many_training_steps=1500", "--eval_step_interval=50"),
    "time_conv": ("--how_many_training_steps=1500", "--eval_step_interval=50"),
}


def run(folder: Path) -> None:
    for network, flags in FLAGS.items():
        for seed in _trials.seeds(SEEDS):
            chosen = f"--model_architecture={network}", f"--seed={seed}", *flags
            result = _watched.watch(folder, *chosen)
            reached = [one for one in result["validated"] if one[2] >= GOAL_ACCURACY]
            when = f"{reached[0][0]:.1f} s, step {reached[0][1]}" if reached else "never"
            print(
                f"{network}, seed {seed}: {when} to {100 * GOAL_ACCURACY:.1f} % validation; "
                f"goal: at most {GOAL_SECONDS} s; {100 * result['validated'][-1][2]:.1f} % at the "
                f"end, after {result['steps']} steps",
                flush=True,
            )

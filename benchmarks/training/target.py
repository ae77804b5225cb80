"""How long until a training's validation is as right as upstream's after 3,600 steps: 90.2 %.

From the trainer's start, TensorFlow's import not counted: building the front end, reading the
clips, tracing and the validations before are. On FOLDER's own split, which for the recordings that
upstream was measured on holds 51 validation clips; one clip more or less is two points, and the
first of many validations to reach a figure is a lucky one, so several seeds are shown, and where
the same training stands at its end.
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
            seen = _watched.watch(folder, *chosen)
            reached = [one for one in seen["validated"] if one[2] >= GOAL_ACCURACY]
            when = f"{reached[0][0]:.1f} s, step {reached[0][1]}" if reached else "never"
            print(
                f"{network}, seed {seed}: {when} to {100 * GOAL_ACCURACY:.1f} % validation; "
                f"goal: at most {GOAL_SECONDS} s; {100 * seen['validated'][-1][2]:.1f} % at the "
                f"end, after {seen['steps']} steps",
                flush=True,
            )

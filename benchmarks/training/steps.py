"""How long a training takes, and how much of that is training.

Upstream's own recipe in full, 18,000 steps of 100 clips, each augmented afresh; and a part of the
networks' own recipes. At steady state a step should be at least 80 % of wall time: the rest is
waiting for clips, validating, saving and saying so.
"""

from pathlib import Path

import _trials
import _watched

GOAL_MINUTES, GOAL_SHARE = 6, 80
STEPS = 3000  # of a recipe of our own, so that each augmented clip is used as often as it will be


def run(folder: Path) -> None:
    seen = _watched.watch(folder, *_watched.UPSTREAM)
    _say("tiny_conv, upstream's recipe", seen)
    extrapolated = seen["step_ms"] * seen["steps"] / 60_000
    print(
        f"{seen['steps']:,} steps of 100 at upstream's own recipe: {seen['seconds'] / 60:.1f} min "
        f"from the trainer's start to metrics.json, TensorFlow's import not counted; "
        f"{extrapolated:.1f} min for the steps alone; goal: at most {GOAL_MINUTES} min"
    )
    for network in ("tiny_conv", "time_conv"):
        flags = (
            *_trials.recipe(network),
            f"--model_architecture={network}",
            f"--how_many_training_steps={STEPS}",
        )
        _say(f"{network}, its own recipe", _watched.watch(folder, *flags))


def _say(what: str, seen: dict) -> None:
    print(
        f"{what}: {seen['step_ms']:.1f} ms from step to step, {100 * seen['share']:.0f} % of it "
        f"in the step; goal: at least {GOAL_SHARE} %",
        flush=True,
    )

"""The duration of a training, and the share of the training steps in it.

One run is upstream's recipe in full, 18,000 steps of 100 clips, each augmented anew; the others are
a part of the networks' own recipes. At steady state the steps should be at least 80 % of wall time:
the rest is waiting for clips, validation, saving and logging.
"""

from pathlib import Path

import _trials
import _watched

GOAL_MINUTES, GOAL_SHARE = 6, 80
STEPS = 3000  # of our own recipes, enough for each augmented clip to be used `echo` times


def run(folder: Path) -> None:
    result = _watched.watch(folder, *_watched.UPSTREAM)
    _report("tiny_conv, upstream's recipe", result)
    extrapolated = result["step_ms"] * result["steps"] / 60_000
    print(
        f"{result['steps']:,} steps of 100 of upstream's recipe: {result['seconds'] / 60:.1f} min "
        f"from the trainer's start to metrics.json, TensorFlow's import not counted; "
        f"{extrapolated:.1f} min for the steps alone; goal: at most {GOAL_MINUTES} min"
    )
    for network in ("tiny_conv", "time_conv"):
        flags = (
            *_trials.recipe(network),
            f"--model_architecture={network}",
            f"--how_many_training_steps={STEPS}",
        )
        _report(f"{network}, its own recipe", _watched.watch(folder, *flags))


def _report(what: str, result: dict) -> None:
    print(
        f"{what}: {result['step_ms']:.1f} ms from step to step, {100 * result['share']:.0f} % of "
        f"it in the step; goal: at least {GOAL_SHARE} %",
        flush=True,
    )

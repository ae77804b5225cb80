"""Time one training by the product's trainer, in its own process.

    python _watched.py FLAGS OF THE TRAINING

The clock starts once TensorFlow is imported. The last output line is the result as JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FLAGS = (
    "--wanted_words=yes,no",
    *("--preprocess=micro", "--window_stride=20", "--quantize=1", "--data_url="),
    *("--silence_percentage=25", "--unknown_percentage=25", "--verbosity=ERROR"),
)
UPSTREAM = (
    *("--model_architecture=tiny_conv", "--optimizer=gradient_descent"),
    *("--how_many_training_steps=15000,3000", "--learning_rate=.001,.0001"),
    *("--schedule=stages", "--warm_up=0", "--label_smoothing=0", "--dropout=.5"),
    *("--augmentation=shift", "--echo=1"),
)
WARM_UP = 200  # steps until everything is traced and the first batches are used


def watch(folder: Path, *flags: str) -> dict:
    """Train on a folder's recordings without any cache, not even the front end's build.

    Returns "seconds" to the last written file and "steps"; at steady state "step_ms" from one step
    to the next and its "share" in the step; "validated": [seconds, step, accuracy] of each.
    """
    with tempfile.TemporaryDirectory(prefix="training-") as place:
        folders = (
            f"--data_dir={folder}",
            *(f"--train_dir={place}/train", f"--summaries_dir={place}/logs"),
        )
        command = [sys.executable, __file__, *FLAGS, *folders, *flags]
        environment = os.environ | {"XDG_CACHE_HOME": f"{place}/cache", "TF_CPP_MIN_LOG_LEVEL": "2"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(flags: list[str]) -> None:
    from vm_startup.speech_commands import train

    began = time.perf_counter()
    steps: list[tuple[float, float]] = []  # begin and end of each step
    validated: list[tuple[float, int, float]] = []  # seconds, step, accuracy

    class Watched(train.Trainer):
        def __init__(self, *given) -> None:
            super().__init__(*given)
            train_step = self.network.train_step

            def timed(*batch):
                start = time.perf_counter()
                found = train_step(*batch)
                steps.append((start, time.perf_counter()))
                return found

            self.network.train_step = timed

        def score(self, name: str):
            found = super().score(name)
            validated.append((time.perf_counter() - began, self.step, found[0].accuracy))
            return found

    train.Trainer = Watched
    train.main(flags)
    steady = steps[WARM_UP:]
    wall = steady[-1][1] - steady[0][0]
    result = {
        "seconds": time.perf_counter() - began,
        "steps": len(steps),
        "step_ms": 1000 * wall / len(steady),
        "share": sum(end - start for start, end in steady) / wall,
        "validated": validated,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])

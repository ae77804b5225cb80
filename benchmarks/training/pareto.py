"""Each network's accuracy against its flash, memory and instructions on the chip.

Each is trained on FOLDER with its recipe, for STEPS steps, then frozen, converted, compiled and run
in the emulator on audio. Flash and RAM are the listener's, with front end, a second of features,
audio buffer and stack. The accuracy is of the few test clips in FOLDER's split; compare networks by
`accuracy`.
"""

import json
import shutil
import tempfile
from pathlib import Path

import _trials

STEPS = 1500
MODEL = ("--wanted_words=yes,no", "--preprocess=micro", "--window_stride=20", "--quantize=1")
TRAINING = ("--silence_percentage=25", "--unknown_percentage=25", "--verbosity=ERROR")
ROW = "{:20} {:>20} {:>8} {:>8} {:>14} {:>10}"


def run(folder: Path) -> None:
    """Print a table of the networks."""
    heads = ("accuracy, 95 %", "flash", "RAM", "an inference", "a frame")
    print(ROW.format(f"{STEPS:,} steps", *heads), flush=True)
    from vm_startup.speech_commands.model.architectures import ARCHITECTURES

    for network in ARCHITECTURES:
        with tempfile.TemporaryDirectory(prefix="pareto-") as place:
            print(ROW.format(network, *measured(network, folder, Path(place))), flush=True)
    print("bytes of the chip's 65,536 and 20,480; instructions of a Cortex-M3, a frame every 20 ms")


def measured(network: str, folder: Path, job: Path) -> list[str]:
    """The columns of a network trained on `folder`, with all its files in `job`."""
    from firmware_export import folder as folders
    from firmware_export import quiet_tensorflow, steps

    quiet_tensorflow.tensorflow()
    from vm_startup.speech_commands import freeze, train

    chosen, trained = f"--model_architecture={network}", job / "train"
    places = (f"--data_dir={folder}", f"--train_dir={trained}", f"--summaries_dir={job}/logs")
    recipe = [*_trials.recipe(network), f"--how_many_training_steps={STEPS}"]
    train.main([chosen, *MODEL, *TRAINING, *places, *recipe])
    graph = job / f"{network}.pb"
    freeze.main([chosen, *MODEL, f"--start_checkpoint={trained}", f"--output_file={graph}"])
    for name in (folders.LABELS, folders.FEATURES):
        shutil.copy(trained / name, job)
    for step in (steps.convert_step, steps.firmware_step, steps.emulate_step):
        step(job)
    listener = json.loads((job / folders.PROOF).read_text("utf-8"))["listener"]
    testing = json.loads((trained / "metrics.json").read_text("utf-8"))["testing"]
    low, high = testing["interval"]
    sizes = ("flash", "ram", "instructions", "instructions_per_frame")
    return [
        f"{100 * testing['accuracy']:.1f} ({100 * low:.1f} to {100 * high:.1f})",
        *(f"{listener[name]:,}" for name in sizes),
    ]

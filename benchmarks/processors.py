"""The same bytes on emulated processors, and what the pinned libraries cost.

    python benchmarks/processors.py bytes [--models Haswell,EPYC] [--network time_conv]
    python benchmarks/processors.py speed

`bytes` makes the smallest training of the tests under qemu-x86_64 (apt install qemu-user), once on
each processor, from features to the .tflite, and compares its results with the tests' digests. The
emulator has no AVX-512. It shows that vendor, model and sizes of caches change no byte; that the
libraries leave AVX-512 alone is processor.py's matter. Takes minutes for each processor.

`speed` takes the processor time of training steps, in turns, the least of each: as the libraries
choose here, as processor.py pins them, and with oneDNN's operations, which TensorFlow chooses where
there is AVX512_VNNI. Those are faster, but the sizes of caches change their last bits, even with
ONEDNN_MAX_CPU_ISA=AVX2. The exit code is 1 if a digest differs, or if a pinned step takes more than
1.15 times as long as a chosen one.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).parents[1]
MODELS = "Haswell,Skylake-Server,Cascadelake-Server,EPYC,EPYC-Rome,EPYC-Milan"
ROUNDS, STEPS = 5, 40
MOST = 1.15  # times the time of a step with what the libraries choose
CHOSEN, PINNED, ONEDNN = "chosen here", "pinned", "oneDNN's operations"

TRAIN = """
import contextlib, json, sys
from pathlib import Path
import golden, tiny_training
from vm_startup.speech_commands import train
network, recordings, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
with contextlib.redirect_stdout(sys.stderr):
    train.main([*tiny_training.FLAGS, f"--model_architecture={network}", "--data_dir=" + recordings,
                f"--train_dir={folder}/train", f"--summaries_dir={folder}/logs"])
    golden.export(folder, network)
print(json.dumps(golden.found(folder, network)))
"""

TIME = """
import os, sys, time
from vm_startup import processor
network, kind, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
if kind != "pinned":
    processor.PINNED.clear()
if kind.startswith("oneDNN"):
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
from vm_startup.speech_commands import flags, runtime
import numpy as np
from vm_startup.speech_commands.model.trainable_network import TrainableNetwork
runtime.make_repeatable()
given = flags.trainer().parse_args(["--preprocess=micro", "--window_stride=20", "--quantize=1",
                                    "--optimizer=adam", f"--model_architecture={network}"])
rng = np.random.default_rng(0)
features = rng.uniform(0, 26, (given.batch_size, 1960)).astype(np.float32)
labels = rng.integers(0, 4, given.batch_size).astype(np.int32)
one = TrainableNetwork(given, flags.audio_settings(given), 4, mean=7.0)
for step in range(1, steps + 11):
    if step == 11:  # the first steps make the graph
        start = time.process_time()
    one.train_step(step, features, labels)
print((time.process_time() - start) / steps)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("bytes", "speed"))
    parser.add_argument("--models", default=MODELS, help="processors, as qemu-x86_64 names them")
    parser.add_argument("--network", default="tiny_conv", help="the network of `bytes`")
    given = parser.parse_args()
    if given.what == "speed":
        return speed()
    return same_bytes(given.models.split(","), given.network)


def same_bytes(models: list[str], network: str) -> int:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
    import golden
    import tiny_training

    if reason := golden.obstacle():
        print(f"the digests cannot be compared here: {reason}")
        return 1
    differ = 0
    with tempfile.TemporaryDirectory() as scratch:
        recordings = Path(scratch) / "recordings"
        recordings.mkdir()
        tiny_training.record(recordings)
        for model in ["", *models]:
            emulator = ["qemu-x86_64", "-cpu", model] if model else []
            folder = Path(scratch) / (model or "here")
            found = json.loads(child(TRAIN, emulator, network, recordings, folder))
            same = found == golden.SHA256[network]
            differ += not same
            line = f"{model or 'this computer':20} {caches(emulator)}: {'same' if same else found}"
            print(line, flush=True)
    print(f"{network}: {differ} of {len(models) + 1} processors differ")
    return int(differ > 0)


def caches(emulator: list[str]) -> str:
    """The sizes of the caches that programs see."""
    getconf = str(shutil.which("getconf"))
    sizes = []
    for name in ("LEVEL1_DCACHE_SIZE", "LEVEL2_CACHE_SIZE", "LEVEL3_CACHE_SIZE"):
        done = subprocess.run([*emulator, getconf, name], capture_output=True, text=True)
        sizes.append(f"{int(done.stdout) >> 10:,}")
    return f"caches of {', '.join(sizes)} KiB"


def speed() -> int:
    slow = False
    for network in ("tiny_conv", "time_conv"):
        taken: dict[str, list[float]] = {CHOSEN: [], PINNED: [], ONEDNN: []}
        for _ in range(ROUNDS):
            for kind, times in taken.items():
                times.append(float(child(TIME, [], network, kind, STEPS)))
        least = {kind: min(times) for kind, times in taken.items()}
        for kind, seconds in least.items():
            print(f"{network} {kind:20} {1000 * seconds:6.1f} ms a step", end=", ")
            print(f"{seconds / least[CHOSEN]:.2f} times the chosen", flush=True)
        slow = slow or least[PINNED] > MOST * least[CHOSEN]
    return int(slow)


def child(program: str, emulator: list[str], *arguments: object) -> str:
    """The last line that a program in Python prints."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    environment = os.environ | {"PYTHONPATH": path}
    command = [*emulator, sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command[:3])} failed:\n{done.stderr[-2000:]}")
    return done.stdout.splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())

"""Checkpoints in TensorFlow's format with upstream's names: both trainers read both.

One checkpoint is NAME.ckpt-STEP.data-00000-of-00001 and NAME.ckpt-STEP.index. The index is renamed
into place last: a checkpoint without an index is unfinished and is ignored.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from vm_startup.speech_commands.errors import DataError

KEEP = 2  # the newest, and one in case it cannot be read
STEP, IDENTITY = "global_step", "identity"
# A training that starts from a checkpoint, and a frozen graph, must share these flags with it.
MODEL_FLAGS = ("wanted_words", "model_architecture", "preprocess", "window_stride_ms")
BEST = "best/"  # prefix of the names of BestWeights' values


def save(folder: Path, name: str, step: int, values: Mapping, identity: Mapping) -> Path:
    """Write a checkpoint, delete old ones, and return the new one's prefix."""
    tensors = {key: tf.convert_to_tensor(value) for key, value in sorted(values.items())}
    tensors[STEP] = tf.constant(step, tf.int64)
    tensors[IDENTITY] = tf.constant(json.dumps(identity, sort_keys=True))
    prefix = folder / f"{name}.ckpt-{step}"
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )
    for old in prefixes(folder, name)[KEEP:]:
        _delete(old)
    return prefix


def prefixes(folder: Path, name: str) -> list[Path]:
    """The finished checkpoints in a folder, the newest first."""
    found = {}
    for index in folder.glob(f"{name}.ckpt-*.index"):
        if step := re.fullmatch(r".*\.ckpt-(\d+)", index.stem):
            found[int(step[1])] = index.with_suffix("")
    return [found[step] for step in sorted(found, reverse=True)]


def latest(folder: Path, name: str) -> tuple[Path, dict[str, np.ndarray]] | None:
    """The newest readable checkpoint's prefix and values, None if there is none."""
    for unfinished in folder.glob(f"{name}.ckpt-*.tempstate*"):  # left by a killed trainer
        unfinished.unlink()
    for prefix in prefixes(folder, name):
        try:
            return prefix, load(prefix)
        except DataError:
            continue
    return None


def find(start: str | Path, name: str) -> tuple[Path, dict[str, np.ndarray]]:
    """The checkpoint with this prefix, or the newest in this folder; raises DataError."""
    start = Path(start)
    if not start.is_dir():
        return start, load(start)
    found = latest(start, name)
    if found is None:
        raise DataError(
            f"{start} has no readable checkpoint {name}.ckpt-N: name another folder or a prefix"
        )
    return found


def load(prefix: str | Path) -> dict[str, np.ndarray]:
    """Every value in a checkpoint; raises DataError if it is missing or damaged."""
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (ValueError, LookupError, RuntimeError, tf.errors.OpError) as error:
        raise DataError(f"the checkpoint {prefix} cannot be read: {error}") from error


def identity(values: Mapping[str, np.ndarray]) -> dict:
    """The flags of the checkpoint's training; {} if another trainer wrote it."""
    return json.loads(bytes(values[IDENTITY])) if IDENTITY in values else {}


def check_identity(prefix: str | Path, values: Mapping[str, np.ndarray], flags: Mapping) -> None:
    """Raise DataError if the checkpoint's training had other values of these flags."""
    trained = identity(values)
    for name, value in flags.items():
        if name in trained and trained[name] != value:
            raise DataError(
                f"the checkpoint {prefix} was trained with --{name}={trained[name]}, not "
                f"{value}: use the same flags, or train in another --train_dir"
            )


def kept(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """BestWeights' values by their own names; {} if another trainer wrote the checkpoint."""
    return {n.removeprefix(BEST): value for n, value in values.items() if n.startswith(BEST)}


def best(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The values with the best weights, if any, in place of the last."""
    return {**values, **kept(values)}


def _delete(prefix: Path) -> None:
    # The index first: without it the rest is not a checkpoint.
    prefix.with_name(prefix.name + ".index").unlink(missing_ok=True)
    for part in prefix.parent.glob(f"{prefix.name}.data-*"):
        part.unlink()

import numpy as np
import pytest
import tensorflow as tf

from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.model import checkpoint

VALUES = {"first_weights": np.arange(6, dtype=np.float32).reshape(2, 3), "relu_max": np.float32(3)}


def save(folder, step):
    return checkpoint.save(folder, "tiny_conv", step, VALUES, {"seed": 5})


def test_checkpoint_is_loaded_as_saved(tmp_path):
    """Values, step and identity are stored under upstream's names in TensorFlow's format."""
    values = checkpoint.load(save(tmp_path, 30))
    assert np.array_equal(values["first_weights"], VALUES["first_weights"])
    assert values[checkpoint.STEP] == 30
    assert checkpoint.identity(values) == {"seed": 5}
    assert ("global_step", []) in tf.train.list_variables(str(tmp_path / "tiny_conv.ckpt-30"))


def test_latest_checkpoint_is_found_and_old_ones_are_deleted(tmp_path):
    """Steps are compared as numbers, and two checkpoints are kept."""
    assert checkpoint.latest(tmp_path, "tiny_conv") is None
    for step in (9, 100, 1000):
        save(tmp_path, step)
    prefix, values = checkpoint.latest(tmp_path, "tiny_conv")
    assert prefix == tmp_path / "tiny_conv.ckpt-1000"
    assert [p.name for p in checkpoint.prefixes(tmp_path, "tiny_conv")] == [
        *("tiny_conv.ckpt-1000", "tiny_conv.ckpt-100")
    ]
    assert not list(tmp_path.glob("*ckpt-9.*"))


def test_unfinished_checkpoint_is_ignored(tmp_path):
    """A killed trainer's partial files are not loaded, and are deleted."""
    save(tmp_path, 10)
    (tmp_path / "tiny_conv.ckpt-20.data-00000-of-00001").write_bytes(b"")
    (tmp_path / "tiny_conv.ckpt-20.index.tempstate99").write_bytes(b"")
    assert checkpoint.latest(tmp_path, "tiny_conv")[0].name == "tiny_conv.ckpt-10"
    assert not list(tmp_path.glob("*tempstate*"))


def test_damaged_checkpoint_is_skipped(tmp_path):
    """If a full disk truncated a checkpoint, the one before is loaded."""
    save(tmp_path, 10)
    data = save(tmp_path, 20).with_name("tiny_conv.ckpt-20.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:10])
    assert checkpoint.latest(tmp_path, "tiny_conv")[0].name == "tiny_conv.ckpt-10"


def test_missing_checkpoint_is_named(tmp_path):
    """Loading a missing checkpoint names its file."""
    with pytest.raises(DataError, match="nowhere.ckpt-1"):
        checkpoint.load(tmp_path / "nowhere.ckpt-1")

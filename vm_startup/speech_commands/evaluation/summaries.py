"""Curves for TensorBoard, which need not be installed to write them."""

import os
import platform
import time
from pathlib import Path

import tensorflow as tf


class Curves:
    """One run of TensorBoard's: numbers by name and step."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{platform.node()}.{os.getpid()}"
        self._writer = tf.io.TFRecordWriter(str(folder / name))
        self._write(file_version="brain.Event:2")

    def add(self, step: int, **values: float) -> None:
        """Note each value under its name."""
        noted = [{"tag": name, "simple_value": value} for name, value in values.items()]
        self._write(step=step, summary={"value": noted})

    def flush(self) -> None:
        """Let readers see all that was noted."""
        self._writer.flush()

    def _write(self, **what) -> None:
        # Not by tf.summary, which takes a tenth of a training step for it.
        event = tf.compat.v1.Event(wall_time=time.time(), **what)
        self._writer.write(event.SerializeToString())

"""Writes curves for TensorBoard, which need not be installed."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import tensorflow as tf


class Curves:
    """One TensorBoard run: numbers by name and step."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{platform.node()}.{os.getpid()}"
        self._writer = tf.io.TFRecordWriter(str(folder / name))
        self._write(file_version="brain.Event:2")

    def add(self, step: int, **values: float) -> None:
        """Add each value under its name."""
        summary = [{"tag": name, "simple_value": value} for name, value in values.items()]
        self._write(step=step, summary={"value": summary})

    def flush(self) -> None:
        """Write everything added so far to the file."""
        self._writer.flush()

    def _write(self, **fields: Any) -> None:
        # Not with tf.summary, which takes a tenth of a training step.
        event = tf.compat.v1.Event(wall_time=time.time(), **fields)
        self._writer.write(event.SerializeToString())

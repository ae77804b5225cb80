"""Curves for TensorBoard, which need not be installed to write them."""

from pathlib import Path

import tensorflow as tf

# What tf.summary.scalar would write, were the tensorboard package there.
_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
    data_class="DATA_CLASS_SCALAR",
)


class Curves:
    """One run of TensorBoard's: numbers by name and step."""

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))

    def add(self, step: int, **values: float) -> None:
        """Note each value under its name."""
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=_SCALAR)

    def flush(self) -> None:
        """Let readers see all that was noted."""
        self._writer.flush()

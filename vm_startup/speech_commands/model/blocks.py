"""The training's convolution: over pictures of one channel, as this processor does it best.

    picture [49, 40] → 29 × 10 blocks of 2 rows × 10 columns → conv 5 × 1, 20 → 16 channels
                     = 25 × 10 blocks of 2 columns × 8 filters

Eigen's convolution lives on channels, and a picture has one. So as many columns as two neighbouring
answers look at become channels, and each filter is written down twice, in its two places with zeros
beside it: a fifth of the products are with zeros, and yet it takes a fifth of the time. oneDNN has
kernels for one channel, which are a little quicker still.
"""

import os
import platform

import numpy as np
import tensorflow as tf

BLOCK = 2  # neighbouring answers made together: 2 × 8 filters fill a vector of AVX-512


def convolve(pictures: tf.Tensor, filters: tf.Tensor, stride: tuple[int, int]) -> tf.Tensor:
    """tf.nn.conv2d(pictures, filters, stride, "SAME"), to float rounding, by the quickest way.

    The way follows from the kind of machine alone, so that trainings on it are repeatable; on a GPU
    either is a small part of a step.
    """
    if pictures.shape[-1] == 1 and not has_onednn():
        return by_blocks(pictures, filters, stride)
    return tf.nn.conv2d(pictures, filters, stride, "SAME")


def has_onednn() -> bool:
    """Whether TensorFlow convolves by oneDNN: so on x86, unless its environment says no."""
    wanted = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0"
    return wanted and platform.machine().lower() in ("x86_64", "amd64")


def by_blocks(pictures: tf.Tensor, filters: tf.Tensor, stride: tuple[int, int]) -> tf.Tensor:
    """The same by blocks; gradients reach the filters.

    Pictures are float32 [n, rows, columns, 1], filters [height, width, 1, count] and no smaller
    than the stride; answers are [n, rows / stride, columns / stride, count], rounded up.
    """
    (_, rows, columns, _), (height, width, _, count) = pictures.shape, filters.shape
    down, right = stride
    made_rows, made_columns = -(-rows // down), -(-columns // right)
    taps, blocks = -(-height // down), -(-made_columns // BLOCK)
    span = right * (BLOCK - 1) + width

    top = max((made_rows - 1) * down + height - rows, 0) // 2
    left = max((made_columns - 1) * right + width - columns, 0) // 2
    bottom = (made_rows - 1 + taps) * down - rows - top
    beyond = (blocks * BLOCK - 1) * right + width - columns - left
    padded = tf.pad(tf.squeeze(pictures, -1), [[0, 0], [top, bottom], [left, beyond]])
    lines = tf.reshape(padded, [-1, made_rows - 1 + taps, down, padded.shape[-1]])
    starts = range(0, blocks * BLOCK * right, BLOCK * right)
    seen = tf.stack([lines[..., start : start + span] for start in starts], 2)

    tall = tf.pad(filters, [[0, taps * down - height], [0, 0], [0, 0], [0, 0]])
    tall = tf.reshape(tall, [taps, down, width, count])
    spread = tf.einsum("tdwc,wsb->tdsbc", tall, _places(width, right))
    kernel = tf.reshape(spread, [taps, 1, down * span, BLOCK * count])
    made = tf.nn.conv2d(tf.reshape(seen, [-1, *seen.shape[1:3], down * span]), kernel, 1, "VALID")
    return tf.reshape(made, [-1, made_rows, blocks * BLOCK, count])[:, :, :made_columns]


def _places(width: int, stride: int) -> np.ndarray:
    """Where each of a filter's columns stands for each answer: [width, span, BLOCK] of 0 and 1."""
    places = np.zeros((width, stride * (BLOCK - 1) + width, BLOCK), np.float32)
    for answer in range(BLOCK):
        column = np.arange(width)
        places[column, answer * stride + column, answer] = 1
    return places

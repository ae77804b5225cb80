"""The bounds that the recipe reads, worded as TensorFlow 1.15 words them."""

_TF_MIN_BAZEL_VERSION = "0.24.1"
_TF_MAX_BAZEL_VERSION = "0.26.1"

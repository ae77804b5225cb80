"""Small models of many shapes, converted by TensorFlow Lite; weights are random."""

import warnings

import flatbuffers
import numpy as np
import pytest

from firmware_export import quiet_tensorflow

SEED = 20260401


def _layers():
    return quiet_tensorflow.tensorflow().keras.layers


def _tiny_conv(layers):
    return (1960,), [
        layers.Reshape((49, 40, 1)),
        layers.Conv2D(8, (10, 8), strides=2, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dense(4, activation="softmax"),
    ]


def _tiny_depthwise(layers):
    shape, chain = _tiny_conv(layers)
    chain[1] = layers.DepthwiseConv2D(
        (10, 8), strides=2, padding="same", activation="relu", depth_multiplier=8
    )
    return shape, chain


def _separable(layers):
    return (24, 10, 1), [
        layers.Conv2D(16, (5, 4), strides=(2, 1), padding="same", activation="relu"),
        layers.DepthwiseConv2D(3, padding="same", activation="relu6"),
        layers.Conv2D(13, 1, activation="relu"),
        layers.AveragePooling2D(2, padding="same"),
        layers.DepthwiseConv2D((3, 2), strides=2, depth_multiplier=2),
        layers.AveragePooling2D((2, 2)),
        layers.Flatten(),
        layers.Dense(7),
    ]


def _pools(layers):
    return (17, 13, 3), [
        layers.Conv2D(6, 3, dilation_rate=(2, 3), activation="relu"),
        layers.MaxPooling2D((3, 2), strides=(2, 1), padding="same"),
        layers.Conv2D(5, (2, 3), strides=(1, 2), padding="valid"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(10, activation="relu"),
        layers.Dense(3, activation="softmax"),
    ]


def _image(layers):
    return (12, 9, 2), [
        layers.DepthwiseConv2D(3, dilation_rate=2, padding="same"),
        layers.Conv2D(3, 1, activation="relu6"),
        layers.AveragePooling2D((3, 3), strides=2, padding="same"),
    ]


def _causal(layers):
    return (60, 40), [
        layers.Conv1D(12, 5, strides=2, padding="causal", activation="relu"),
        layers.Conv1D(8, 3, dilation_rate=4, padding="causal", activation="relu"),
        layers.Dense(3),
    ]


def _valid(layers):
    return (60, 40), [
        layers.Conv1D(12, 5, strides=2, activation="relu"),
        layers.Conv1D(8, 3, dilation_rate=3, activation="relu"),
        layers.DepthwiseConv1D(5),
        layers.Conv1D(3, 1, activation="softmax"),
    ]


def _whole(layers):
    return (30 * 16,), [
        layers.Reshape((30, 16, 1)),
        layers.Conv2D(4, (5, 8), strides=(2, 4), activation="relu"),
        layers.MaxPooling2D((3, 1), strides=(2, 1)),
        layers.AveragePooling2D((2, 3), strides=1),
        layers.Flatten(),
        layers.Dense(4, activation="softmax"),
    ]


def _averaged(layers):
    return (24, 10, 1), [
        layers.Conv2D(6, (4, 10), activation="relu6"),
        layers.AveragePooling2D((21, 1)),
        layers.Flatten(),
        layers.Dense(3),
    ]


def _lookahead(layers):
    return (40, 10, 1), [
        layers.Conv2D(6, (1, 10), activation="relu"),
        layers.Conv2D(3, (3, 1), padding="same"),
    ]


def _relu(layers):
    return (20, 8), [
        layers.Conv1D(6, 3),
        layers.ReLU(),
        layers.Reshape((108,)),
        layers.ReLU(6.0),
        layers.Dense(3),
    ]


NETWORKS = {
    "relu": _relu,
    "causal": _causal,
    "valid": _valid,
    "whole": _whole,
    "averaged": _averaged,
    "lookahead": _lookahead,
    "tiny_conv": _tiny_conv,
    "tiny_depthwise": _tiny_depthwise,
    "separable": _separable,
    "pools": _pools,
    "image": _image,
}


class Models:
    """Converts each model once a session."""

    def __init__(self):
        self.known = {}

    def __call__(self, network="tiny_conv", ends="int8", per_channel=True, batch=1):
        """A .tflite. `ends` is the type of its input and output; None gives a float model. With a
        `batch` of None the model computes its shapes while it runs."""
        key = (network, ends, per_channel, batch)
        if key not in self.known:
            self.known[key] = self._convert(*key)
        return self.known[key]

    def _convert(self, network, ends, per_channel, batch):
        tf = quiet_tensorflow.tensorflow()
        tf.keras.utils.set_random_seed(SEED)
        shape, chain = NETWORKS[network](_layers())
        net = tf.keras.Sequential([tf.keras.Input(shape, batch_size=batch), *chain])
        random = np.random.default_rng(SEED)
        for layer in net.layers:  # converters drop biases that are zero
            if len(layer.get_weights()) == 2:
                weights, bias = layer.get_weights()
                layer.set_weights([weights, random.normal(0, 0.2, bias.shape)])
        low = 0.0 if network.startswith("tiny") else -4.0

        def clips():
            for _ in range(10):
                yield [random.uniform(low, 26, (1, *shape)).astype(np.float32)]

        converter = tf.lite.TFLiteConverter.from_keras_model(net)
        if ends is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = clips
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = getattr(tf, ends)
            converter.inference_output_type = getattr(tf, ends)
            converter._experimental_disable_per_channel = not per_channel
        with warnings.catch_warnings(), quiet_tensorflow.silenced_stderr():
            warnings.simplefilter("ignore")
            return converter.convert()


@pytest.fixture(scope="session")
def models():
    """`models(network, ends, per_channel)` gives a .tflite."""
    return Models()


@pytest.fixture(scope="session")
def edit():
    """`edit(model, change)`: the model after `change(flatbuffer object)`."""

    def apply(model, change):
        quiet_tensorflow.tensorflow()
        from tensorflow.lite.python import schema_py_generated as schema

        graph = schema.ModelT.InitFromPackedBuf(bytearray(model), 0)
        change(graph)
        builder = flatbuffers.Builder(1024)
        builder.Finish(graph.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    return apply


@pytest.fixture(scope="session")
def clips():
    """`clips(reference, count)`: integers that fill the model's input, extremes among them."""

    def make(reference, count):
        random = np.random.default_rng(SEED)
        low, high = (0, 256) if reference.input.unsigned else (-128, 128)
        codes = random.integers(low, high, (count, reference.input.size))
        codes[::3] = low + (codes[::3] - low) // 8  # quiet clips, as speech is
        codes[1], codes[2] = low, high - 1
        return codes.astype(reference.input.stored_type)

    return make

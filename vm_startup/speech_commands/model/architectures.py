"""The networks: a stack of convolutions over a clip's features, then one logit per label.

    tiny_conv  features [frames, width] → conv 10 × 8, 8 filters, stride 2 × 2 → dense → logits
    tiny_embedding_conv  the same with a second convolution, 10 × 8, 8 filters, stride 8 × 8
    time_conv  features → conv 5 × 8, 8 filters, stride 2 × 4 → frequencies become channels
               → conv 3, 24 → conv 5, 24, stride 2 → conv 5, 32, stride 2, over time alone
               → average over time → dense → logits

A ReLU follows every convolution; the first two networks are upstream's. Without TensorFlow, so that
a plan can be made in no time; networks.py computes them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from vm_startup.speech_commands.audio_settings import AudioSettings


@dataclass(frozen=True)
class Layer:
    """A convolution with SAME padding; `name` is the prefix of its weights' names."""

    name: str
    height: int  # frames
    width: int  # frequencies; 1 = all of them, as channels
    filters: int
    stride: tuple[int, int] = (1, 1)  # frames, frequencies
    dropout: bool = False  # whether dropout applies to its output too

    @property
    def range(self) -> str:
        """The name of the largest value after the ReLU."""
        return "relu_max" if self.name == "first" else f"{self.name}_relu_max"


@dataclass(frozen=True)
class Architecture:
    """One network, for features of any size."""

    layers: tuple[Layer, ...]
    averaged: bool  # over time, before the dense layer
    deviation: float = 0.0  # of the initial weights; 0 = by each layer's inputs (He et al.)
    first_share: float = 1.0  # of that deviation in the first layer, as features reach 26
    centred: bool = False  # the initial biases subtract the features' mean


ARCHITECTURES = {
    "tiny_conv": Architecture(
        layers=(Layer("first", 10, 8, 8, (2, 2)),),
        averaged=False,
        deviation=0.01,
    ),
    "tiny_embedding_conv": Architecture(
        layers=(
            Layer("first", 10, 8, 8, (2, 2), dropout=True),
            Layer("second", 10, 8, 8, (8, 8)),
        ),
        averaged=False,
        deviation=0.01,
    ),
    "time_conv": Architecture(
        layers=(
            Layer("first", 5, 8, 8, (2, 4)),
            Layer("second", 3, 1, 24),
            Layer("third", 5, 1, 24, (2, 1)),
            Layer("fourth", 5, 1, 32, (2, 1)),
        ),
        averaged=True,
        first_share=1 / 6,
        centred=True,
    ),
}


def shapes(
    settings: AudioSettings, architecture: str = "tiny_conv"
) -> Iterator[tuple[Layer, tuple[int, int, int], tuple[int, int, int]]]:
    """Each layer with the shapes of its input and output: (frames, frequencies, channels)."""
    given: tuple[int, int, int] = (settings.frames, settings.width, 1)
    for layer in ARCHITECTURES[architecture].layers:
        if layer.width == 1:
            given = (given[0], 1, given[1] * given[2])
        rows, columns = (-(-given[i] // layer.stride[i]) for i in (0, 1))
        made = (rows, columns, layer.filters)
        yield layer, given, made
        given = made


def hidden_size(settings: AudioSettings, architecture: str = "tiny_conv") -> int:
    """Inputs of the dense layer: 25 × 20 × 8 = 4000 or 32 for 49 × 40 features."""
    *_, (_, _, made) = shapes(settings, architecture)
    return made[-1] if ARCHITECTURES[architecture].averaged else math.prod(made)


def dropout_size(settings: AudioSettings, architecture: str = "tiny_conv") -> int:
    """Numbers that dropout applies to: the dense layer's inputs, and some layers' outputs."""
    early = (math.prod(made) for layer, _, made in shapes(settings, architecture) if layer.dropout)
    return sum(early) + hidden_size(settings, architecture)


def weight_shapes(
    settings: AudioSettings, label_count: int, architecture: str = "tiny_conv"
) -> dict[str, tuple[int, ...]]:
    """The shape of each layer's weights; it has as many biases as the last dimension says."""
    forms: dict[str, tuple[int, ...]] = {
        f"{layer.name}_weights": (layer.height, layer.width, given[2], layer.filters)
        for layer, given, _ in shapes(settings, architecture)
    }
    return forms | {"final_fc_weights": (hidden_size(settings, architecture), label_count)}

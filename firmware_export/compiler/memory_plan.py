"""Which layers run together, and where their values are in one block of RAM, the arena."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from firmware_export.compiler import streaming
from firmware_export.compiler.layers import Layer


@dataclass(frozen=True)
class Stage:
    """Layers that run together: a layer of rows before a dense one stores only one row."""

    layers: tuple[Layer, ...]

    @property
    def row(self) -> int:
        """Bytes of the one row that is stored between the two; 0 for a single layer."""
        first = self.layers[0]
        return first.output // first.rows if len(self.layers) > 1 else 0


@dataclass(frozen=True)
class Memory:
    """Where the values between input and output are in the arena; bytes."""

    values: list[int]  # offset of each stage's output; the last output is the caller's
    rows: list[int]  # offset of each stage's row
    size: int  # of the arena
    sums: int  # 32-bit sums of the largest dense layer


@dataclass(frozen=True)
class LayerMemory:
    """What one layer needs on the chip."""

    layer: str
    flash: int  # bytes of constants
    ram: int  # bytes of its input and output that are in RAM while it runs


def fuse(layers: Sequence[Layer]) -> list[Stage]:
    """Joins each layer of rows with the dense layer that follows it."""
    stages: list[Stage] = []
    for layer in layers:
        last = stages[-1] if stages else None
        if last and layer.kernel == "dense" and len(last.layers) == 1 and last.layers[0].rows:
            stages[-1] = Stage((*last.layers, layer))
        else:
            stages.append(Stage((layer,)))
    return stages


def plan(stages: Sequence[Stage]) -> Memory:
    """Gives each value, the largest first, the lowest offset that is free while it is needed."""
    wanted = []  # (size, first stage, last stage, which list, index)
    for i, stage in enumerate(stages):
        if i < len(stages) - 1:
            wanted.append((stage.layers[-1].output, i, i + 1, "values", i))
        if stage.row:
            wanted.append((stage.row, i, i, "rows", i))
    offsets = {"values": [0] * len(stages), "rows": [0] * len(stages)}
    taken: list[tuple[int, int, int, int]] = []  # (start, end, first, last)
    for size, first, last, kind, index in sorted(wanted, key=lambda w: (-w[0], w[1])):
        start = 0
        for begin, end, since, until in sorted(taken):
            if since <= last and first <= until and begin < start + size:
                start = max(start, end)
        taken.append((start, start + -(-size // 4) * 4, first, last))
        offsets[kind][index] = start
    sums = [stage.layers[-1].output for stage in stages if stage.layers[-1].kernel == "dense"]
    return Memory(
        offsets["values"],
        offsets["rows"],
        size=max((end for _, end, _, _ in taken), default=0),
        sums=max(sums, default=0),
    )


def layer_memory(stages: Sequence[Stage]) -> Iterator[LayerMemory]:
    """What each layer needs; the model's input and output are the caller's."""
    for i, stage in enumerate(stages):
        for layer in stage.layers:
            before = 0 if i == 0 or layer is not stage.layers[0] else layer.input
            after = 0 if i == len(stages) - 1 or layer is not stage.layers[-1] else layer.output
            stored = stage.row + 4 * layer.output * (layer.kernel == "dense")
            yield LayerMemory(layer.name, layer.flash, before + after + stored)


def stream_memory(stages: Sequence[streaming.Stage]) -> Iterator[LayerMemory]:
    """What each layer of a stream needs: its rows, and the one that it computes."""
    for i, stage in enumerate(stages):
        layer, is_last = stage.layer, i == len(stages) - 1
        before = 0 if stage.window.is_row and i == 0 else layer.input
        stored = 4 * layer.output * (layer.kernel == "dense")
        yield LayerMemory(
            layer.name, layer.flash, before + (0 if is_last else layer.output) + stored
        )

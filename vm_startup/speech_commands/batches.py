"""The endless stream of training batches: any step's batch can be made from (seed, step) alone."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from . import dataset, features
from .augment import Background, augment, mask
from .settings import AudioSettings

ROUND = 60  # steps whose clips are prepared together; 60 batches of 100 are 47 MB of features

# Each use of chance has a stream of its own, so that changing one leaves the others as they were.
CLIPS, ORDER, DROPOUT, WEIGHTS, SILENCE, MASKS = range(6)


def stream(seed: int, purpose: int, index: int = 0) -> np.random.Generator:
    """The random numbers of one purpose and one step, the same whenever they are asked for."""
    return np.random.default_rng([seed, purpose, index])


@dataclass(frozen=True)
class Recipe:
    """How batches are drawn."""

    seed: int
    batch_size: int
    echo: int  # times that each augmented clip is used; 1 augments afresh every time, as upstream
    silence_percentage: float  # of the wanted clips, likewise the next
    unknown_percentage: float
    time_shift: int  # samples either way
    background_volume: float
    background_frequency: float
    time_mask: float = 0.0  # frames hidden at most, afresh at each use
    frequency_mask: float = 0.0  # channels, likewise
    room: bool = False  # speed, pitch, room, microphone and gain vary, and silence more


class Batches:
    """Augmented batches of the training split."""

    def __init__(self, data: dataset.Dataset, settings: AudioSettings, recipe: Recipe) -> None:
        split = data.splits["training"]
        self._audio, self._label = split.audio, split.label
        self._wanted = _Choice(split.source, split.label >= dataset.FIRST_WORD)
        self._unknown = _Choice(split.source, split.label == dataset.UNKNOWN)
        self._background = Background(data.background, settings.samples)
        self._settings, self._recipe = settings, recipe

    def from_step(self, step: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Features float32 [batch, size] and labels int32 [batch] of `step` (from 1) and all later.

        While one round is being trained on, the next is prepared in another thread.
        """
        first, skip = divmod(step - 1, ROUND)
        with ThreadPoolExecutor(max_workers=1) as ahead:
            coming = ahead.submit(self._round, first)
            for index in itertools.count(first + 1):
                pictures, labels = coming.result()
                coming = ahead.submit(self._round, index)
                yield from zip(pictures[skip:], labels[skip:], strict=True)
                skip = 0

    def _round(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The features and labels of each step of a round: [ROUND, batch, …]."""
        per_round = -(-ROUND // self._recipe.echo)
        parts = [self._fresh(index * per_round + part) for part in range(per_round)]
        pictures, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
        rng = stream(self._recipe.seed, ORDER, index)
        order = [rng.permutation(len(labels)) for _ in range(self._recipe.echo)]
        taken = np.concatenate(order)[: ROUND * self._recipe.batch_size]
        shape = (ROUND, self._recipe.batch_size)
        pictures = self._masked(pictures[taken], index)
        return pictures.reshape(*shape, -1), labels[taken].reshape(shape)

    def _masked(self, pictures: np.ndarray, index: int) -> np.ndarray:
        """What the recipe leaves to be seen of a round's pictures."""
        recipe = self._recipe
        if not (recipe.time_mask or recipe.frequency_mask):
            return pictures
        return mask(
            pictures.reshape(-1, self._settings.frames, self._settings.width),
            stream(recipe.seed, MASKS, index),
            frames=recipe.time_mask,
            channels=recipe.frequency_mask,
        )

    def _fresh(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """A batch of clips drawn and augmented with the stream of that index."""
        recipe = self._recipe
        rng = stream(recipe.seed, CLIPS, index)
        shares = np.array([recipe.silence_percentage, recipe.unknown_percentage, 100.0])
        if not self._unknown:
            shares[dataset.UNKNOWN] = 0
        kind = rng.choice(3, size=recipe.batch_size, p=shares / shares.sum())
        clip = self._wanted.draw(recipe.batch_size, rng)
        if self._unknown:
            unknown = self._unknown.draw(recipe.batch_size, rng)
            clip = np.where(kind == dataset.UNKNOWN, unknown, clip)
        audio = augment(
            self._audio[clip],
            kind == dataset.SILENCE,
            self._background,
            rng,
            time_shift=recipe.time_shift,
            volume=recipe.background_volume,
            frequency=recipe.background_frequency,
            room=recipe.room,
        )
        labels = np.where(kind == dataset.SILENCE, dataset.SILENCE, self._label[clip])
        return features.extract(audio, self._settings), labels.astype(np.int32)


class _Choice:
    """The clips of one kind, each source drawn as often as another.

    A few hundred recordings would otherwise drown in thousands of synthetic clips.
    """

    def __init__(self, source: np.ndarray, chosen: np.ndarray) -> None:
        self._by_source = [np.flatnonzero(chosen & (source == one)) for one in np.unique(source)]
        self._by_source = [clips for clips in self._by_source if len(clips)]

    def __bool__(self) -> bool:
        return bool(self._by_source)

    def draw(self, how_many: int, rng: np.random.Generator) -> np.ndarray:
        """Indices of clips, with replacement: int64 [how_many]."""
        source = rng.integers(len(self._by_source), size=how_many)
        counts = np.array([len(clips) for clips in self._by_source])
        offset = np.cumsum(counts) - counts
        return np.concatenate(self._by_source)[offset[source] + rng.integers(counts[source])]

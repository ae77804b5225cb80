"""The endless stream of training batches: any step's batch can be made from (seed, step) alone."""

import itertools
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vm_startup.speech_commands import features
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.augmentation import rooms
from vm_startup.speech_commands.augmentation.augment import (
    Background,
    add_background,
    augment,
    mask,
    mix,
    to_int16,
)
from vm_startup.speech_commands.data import dataset

PIECE = 5  # steps whose batches are made at once, while the batches before are trained on
ROUND = 60  # steps whose clips are prepared together; 60 batches of 100 are 47 MB of features
AUGMENTATIONS = ("shift", "room", "hard")
SYNTHETIC = "synthetic"  # the source of clips that nobody recorded
WORKERS = min(4, features.front_end.cores())

# Each use of chance has a stream of its own, so that changing one leaves the others as they were.
CLIPS, ORDER, DROPOUT, WEIGHTS, SILENCE, MASKS, ROOMS, MIXTURES = range(8)

Batch = tuple[np.ndarray, np.ndarray]  # features float32 [n, size] and labels


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
    augmentation: str = "shift"  # or, with speed, pitch, room, microphone and level: room, hard
    synthetic_share: float = 0.3  # of the clips of a kind, where recordings are there as well
    mixup: float = 0.0  # share of the pictures that another is laid over


class Batches:
    """Augmented batches of the training split."""

    def __init__(self, data: dataset.Dataset, settings: AudioSettings, recipe: Recipe) -> None:
        split = data.splits["training"]
        self._audio, self._label, self._label_count = split.audio, split.label, len(data.labels)
        self._synthetic = split.source == SYNTHETIC
        share = recipe.synthetic_share
        self._wanted = _Choice(split.source, split.label >= dataset.FIRST_WORD, share)
        self._unknown = _Choice(split.source, split.label == dataset.UNKNOWN, share)
        self._background = Background(data.background, settings.samples)
        self._settings, self._recipe = settings, recipe
        if recipe.augmentation != "shift":
            self._rooms = rooms.Rooms(settings.samples, stream(recipe.seed, ROOMS))

    def from_step(self, step: int) -> Iterator[Batch]:
        """Features float32 [batch, size] and labels of `step` (from 1) and all later.

        Labels are int32 [batch], with mixup float32 [batch, labels]. While some batches are being
        trained on, other threads make the next, and what the next round has new.
        """
        workers, finisher = ThreadPoolExecutor(WORKERS), ThreadPoolExecutor(1)
        try:
            coming: Future[list[Batch]] | None = None
            for pool, steps in self._pieces(step - 1, workers):
                ready, coming = coming, finisher.submit(self._finished, pool, steps)
                if ready:
                    yield from ready.result()
        finally:
            workers.shutdown(cancel_futures=True)
            finisher.shutdown(cancel_futures=True)

    def _pieces(self, step: int, workers: ThreadPoolExecutor) -> Iterator[tuple[Batch, range]]:
        """A few steps at a time (from 0) with all clips of their round, without end."""
        prepared: dict[int, list[Future[Batch]]] = {}
        for index in itertools.count(step // ROUND):
            used = self._used(index)
            for new in [one for one in [*used, index + 1] if one not in prepared]:
                prepared[new] = self._prepare(new, workers)
            for old in prepared.keys() - {*used, index + 1}:
                del prepared[old]
            clips = [clip.result() for one in used for clip in prepared[one]]
            pool = tuple(np.concatenate(column) for column in zip(*clips, strict=True))
            first, end = max(step, index * ROUND), (index + 1) * ROUND
            for start in range(first, end, PIECE):
                yield pool, range(start, min(start + PIECE, end))

    def _used(self, index: int) -> list[int]:
        """The rounds whose new clips a round uses: its own and those just before it.

        So the uses of one clip lie a round apart. The first rounds have none before them and use
        the first round's clips more often.
        """
        return [max(0, index - age) for age in reversed(range(self._recipe.echo))]

    def _prepare(self, index: int, workers: ThreadPoolExecutor) -> list[Future[Batch]]:
        """What a round has new, in batches."""
        per_round = -(-ROUND // self._recipe.echo)
        numbers = range(index * per_round, (index + 1) * per_round)
        return [workers.submit(self._fresh, number) for number in numbers]

    def _finished(self, pool: Batch, steps: range) -> list[Batch]:
        """The batches of some steps of one round, each with what differs at each use of a clip."""
        pictures, labels = pool
        order = stream(self._recipe.seed, ORDER, steps[0] // ROUND).permutation(len(labels))
        size = self._recipe.batch_size
        places = [order[step % ROUND * size :][:size] for step in steps]
        return [
            self._varied(pictures[taken], labels[taken], step)
            for taken, step in zip(places, steps, strict=True)
        ]

    def _varied(self, pictures: np.ndarray, labels: np.ndarray, step: int) -> Batch:
        """A batch masked and mixed as the recipe says."""
        recipe = self._recipe
        if recipe.time_mask or recipe.frequency_mask:
            mask(
                pictures.reshape(-1, self._settings.frames, self._settings.width),
                stream(recipe.seed, MASKS, step),
                frames=recipe.time_mask,
                channels=recipe.frequency_mask,
            )
        if recipe.mixup:
            rng = stream(recipe.seed, MIXTURES, step)
            return mix(pictures, labels, self._label_count, recipe.mixup, rng)
        return pictures, labels

    def _fresh(self, index: int) -> Batch:
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
        silent = kind == dataset.SILENCE
        vary = self._shifted if recipe.augmentation == "shift" else self._elsewhere
        audio = vary(clip, silent, rng)
        labels = np.where(silent, dataset.SILENCE, self._label[clip])
        return features.extract(audio, self._settings), labels.astype(np.int32)

    def _shifted(
        self, clip: np.ndarray, silent: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Clips augmented as upstream does it: int16 [n, samples]."""
        return augment(
            self._audio[clip],
            silent,
            self._background,
            rng,
            time_shift=self._recipe.time_shift,
            **self._noise(),
        )

    def _elsewhere(
        self, clip: np.ndarray, silent: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Clips of other speakers in other rooms: int16 [n, samples]."""
        wave = np.zeros((len(clip), self._settings.samples), np.float32)
        hard = self._recipe.augmentation == "hard"
        synthetic = self._synthetic[clip]
        for manner, theirs in (
            (rooms.HARD if hard else rooms.MILD, synthetic),
            (rooms.HARD if hard else rooms.RECORDED, ~synthetic),
        ):
            chosen = np.flatnonzero(theirs & ~silent)
            if len(chosen):
                audio = self._audio[clip[chosen]]
                wave[chosen] = self._rooms.heard(audio, manner, self._recipe.time_shift, rng)
        add_background(wave, silent, self._background, rng, **self._noise())
        wave[silent] = self._rooms.silences(wave[silent], rng)
        return to_int16(wave)

    def _noise(self) -> dict[str, float]:
        recipe = self._recipe
        return {"volume": recipe.background_volume, "frequency": recipe.background_frequency}


class _Choice:
    """The clips of one kind. Synthetic ones are drawn with their share, recordings share the rest.

    Sources are drawn first, or a few hundred recordings would drown in thousands of others.
    """

    def __init__(self, source: np.ndarray, chosen: np.ndarray, synthetic_share: float) -> None:
        found = np.unique(source[chosen])
        self._by_source = [np.flatnonzero(chosen & (source == one)) for one in found]
        synthetic = found == SYNTHETIC
        shares = np.ones(len(found))
        if synthetic.any() and not synthetic.all():
            recorded = (1 - synthetic_share) / (~synthetic).sum()
            shares = np.where(synthetic, synthetic_share, recorded)
        self._shares = shares / shares.sum()

    def __bool__(self) -> bool:
        return bool(self._by_source)

    def draw(self, how_many: int, rng: np.random.Generator) -> np.ndarray:
        """Indices of clips, with replacement: int64 [how_many]."""
        source = rng.choice(len(self._by_source), how_many, p=self._shares)
        counts = np.array([len(clips) for clips in self._by_source])
        offset = np.cumsum(counts) - counts
        return np.concatenate(self._by_source)[offset[source] + rng.integers(counts[source])]

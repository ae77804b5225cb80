"""The endless stream of training batches; (seed, step) alone decide each step's batch."""

import argparse
import itertools
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np

from vm_startup.micro_frontend.extract import cores
from vm_startup.speech_commands import features
from vm_startup.speech_commands import random_streams as streams
from vm_startup.speech_commands.audio_settings import AudioSettings
from vm_startup.speech_commands.augmentation import augment, rooms
from vm_startup.speech_commands.data import dataset
from vm_startup.speech_commands.progress import Count

PIECE = 5  # steps whose batches are made at once, while the batches before are trained on
ROUND = 60  # steps whose clips are prepared together; 60 batches of 100 are 47 MB of features
AUGMENTATIONS = ("shift", "room", "hard")
SYNTHETIC = "synthetic"  # the source of synthetic clips
WORKERS = min(4, cores())

Batch = tuple[np.ndarray, np.ndarray]  # features float32 [n, size] and labels


@dataclass(frozen=True)
class Recipe:
    """How batches are drawn."""

    seed: int
    batch_size: int
    echo: int  # uses of each augmented clip; 1 augments for every use, as upstream
    silence_percentage: float  # of the wanted clips, as the next one
    unknown_percentage: float
    time_shift_ms: float  # either way
    background_volume: float  # at most, 1 = full scale
    background_frequency: float  # share of the clips with background
    time_mask: float = 0.0  # frames masked at most, drawn for each use
    frequency_mask: float = 0.0  # channels masked at most, likewise
    augmentation: str = "shift"  # or "room", "hard": with speed, pitch, room, microphone and level
    synthetic_share: float = 0.3  # of the clips of a kind, if there are recordings too
    mixup: float = 0.0  # share of the clips that are mixed with another

    @classmethod
    def of(cls, flags: argparse.Namespace) -> "Recipe":
        """The recipe in the trainer's flags, which have the same names."""
        return cls(**{field.name: getattr(flags, field.name) for field in fields(cls)})


class Batches:
    """Augmented batches of the training split."""

    def __init__(self, data: dataset.Dataset, settings: AudioSettings, recipe: Recipe) -> None:
        split = data.splits["training"]
        self._audio, self._label, self._label_count = split.audio, split.label, len(data.labels)
        self._synthetic = split.source == SYNTHETIC
        share = recipe.synthetic_share
        self._wanted = _Choice(split.source, split.label >= dataset.FIRST_WORD_INDEX, share)
        self._unknown = _Choice(split.source, split.label == dataset.UNKNOWN_INDEX, share)
        self._background = augment.Background(data.background, settings.samples)
        self._settings, self._recipe = settings, recipe
        self._shift = int(recipe.time_shift_ms * settings.sample_rate / 1000)  # samples
        if recipe.augmentation != "shift":
            rng = streams.random_stream(recipe.seed, streams.ROOMS)
            self._rooms = rooms.Rooms(settings.samples, rng)

    def from_step(self, step: int, progress: Count | None = None) -> Generator[Batch, None, None]:
        """Features float32 [batch, size] and labels of `step` (from 1) and all later.

        Labels are int32 [batch], with mixup float32 [batch, labels]. Other threads make the next
        batches and the next round's clips during training. `progress` counts the batches of new
        clips that the first step waits for.
        """
        workers, finisher = ThreadPoolExecutor(WORKERS), ThreadPoolExecutor(1)
        try:
            coming: Future[list[Batch]] | None = None
            for pool, steps in self._pieces(step - 1, workers, progress):
                ready, coming = coming, finisher.submit(self._finished, pool, steps)
                if ready:
                    yield from ready.result()
        finally:
            workers.shutdown(cancel_futures=True)
            finisher.shutdown(cancel_futures=True)

    def _pieces(
        self, step: int, workers: ThreadPoolExecutor, progress: Count | None
    ) -> Iterator[tuple[Batch, range]]:
        """A few steps at a time (from 0) with all clips of their round, without end."""
        prepared: dict[int, list[Future[Batch]]] = {}
        for index in itertools.count(step // ROUND):
            used = self._used(index)
            for new in [one for one in [*used, index + 1] if one not in prepared]:
                prepared[new] = self._prepare(new, workers)
            for old in prepared.keys() - {*used, index + 1}:
                del prepared[old]
            pool = _joined([batch for one in used for batch in prepared[one]], progress)
            progress = None
            first, end = max(step, index * ROUND), (index + 1) * ROUND
            for start in range(first, end, PIECE):
                yield pool, range(start, min(start + PIECE, end))

    def _used(self, index: int) -> list[int]:
        """The rounds whose new clips a round uses: its own and those just before it.

        So the uses of one clip are a round apart. The first rounds have none before them and use
        the first round's clips more often.
        """
        return [max(0, index - age) for age in reversed(range(self._recipe.echo))]

    def _prepare(self, index: int, workers: ThreadPoolExecutor) -> list[Future[Batch]]:
        """The new clips of a round, in batches."""
        per_round = -(-ROUND // self._recipe.echo)
        numbers = range(index * per_round, (index + 1) * per_round)
        return [workers.submit(self._new_batch, number) for number in numbers]

    def _finished(self, pool: Batch, steps: range) -> list[Batch]:
        """The batches of some steps of one round, masked and mixed for each use of a clip."""
        clips, labels = pool
        rng = streams.random_stream(self._recipe.seed, streams.ORDER, steps[0] // ROUND)
        order, size = rng.permutation(len(labels)), self._recipe.batch_size
        chosen = [order[step % ROUND * size :][:size] for step in steps]
        return [
            self._masked_and_mixed(clips[rows], labels[rows], step)
            for rows, step in zip(chosen, steps, strict=True)
        ]

    def _masked_and_mixed(self, clips: np.ndarray, labels: np.ndarray, step: int) -> Batch:
        recipe = self._recipe
        if recipe.time_mask or recipe.frequency_mask:
            augment.mask(
                clips.reshape(-1, self._settings.frames, self._settings.width),
                streams.random_stream(recipe.seed, streams.MASKS, step),
                frames=recipe.time_mask,
                channels=recipe.frequency_mask,
            )
        if recipe.mixup:
            rng = streams.random_stream(recipe.seed, streams.MIXUP, step)
            return augment.mixup(clips, labels, self._label_count, recipe.mixup, rng)
        return clips, labels

    def _new_batch(self, index: int) -> Batch:
        """Clips drawn and augmented with the random stream of that index."""
        recipe = self._recipe
        rng = streams.random_stream(recipe.seed, streams.CLIPS, index)
        shares = np.array([recipe.silence_percentage, recipe.unknown_percentage, 100.0])
        if not self._unknown:
            shares[dataset.UNKNOWN_INDEX] = 0
        kind = rng.choice(3, size=recipe.batch_size, p=shares / shares.sum())
        clip = self._wanted.draw(recipe.batch_size, rng)
        if self._unknown:
            unknown = self._unknown.draw(recipe.batch_size, rng)
            clip = np.where(kind == dataset.UNKNOWN_INDEX, unknown, clip)
        silent = kind == dataset.SILENCE_INDEX
        change = self._shifted if recipe.augmentation == "shift" else self._in_rooms
        audio = change(clip, silent, rng)
        labels = np.where(silent, dataset.SILENCE_INDEX, self._label[clip])
        return features.extract(audio, self._settings), labels.astype(np.int32)

    def _shifted(
        self, clip: np.ndarray, silent: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Clips augmented as upstream does it: int16 [n, samples]."""
        return augment.augment(
            self._audio[clip],
            silent,
            self._background,
            rng,
            time_shift=self._shift,
            volume=self._recipe.background_volume,
            frequency=self._recipe.background_frequency,
        )

    def _in_rooms(
        self, clip: np.ndarray, silent: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Clips with other pitch, rooms, microphones and levels: int16 [n, samples]."""
        recipe = self._recipe
        wave = np.zeros((len(clip), self._settings.samples), np.float32)
        hard = recipe.augmentation == "hard"
        synthetic = self._synthetic[clip]
        for strength, group in (
            (rooms.HARD if hard else rooms.MILD, synthetic),
            (rooms.HARD if hard else rooms.RECORDED, ~synthetic),
        ):
            chosen = np.flatnonzero(group & ~silent)
            if len(chosen):
                audio = self._audio[clip[chosen]]
                wave[chosen] = self._rooms.apply(audio, strength, self._shift, rng)
        volume, frequency = recipe.background_volume, recipe.background_frequency
        augment.add_background(
            wave, silent, self._background, rng, volume=volume, frequency=frequency
        )
        wave[silent] = self._rooms.silences(wave[silent], rng)
        return augment.to_int16(wave)


def _joined(coming: list[Future[Batch]], progress: Count | None) -> Batch:
    """All the batches as one, once they are ready."""
    ready = []
    for number, batch in enumerate(coming, 1):
        ready.append(batch.result())
        if progress:
            progress(number, len(coming))
    clips, labels = (np.concatenate(column) for column in zip(*ready, strict=True))
    return clips, labels


class _Choice:
    """The clips of one kind. Synthetic ones are drawn with their share, recordings share the rest.

    The source is drawn first, so that a few hundred recordings count among thousands of others.
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

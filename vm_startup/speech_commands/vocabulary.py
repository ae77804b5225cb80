"""Words for the unknown class: common ones, and near misses of those that are wanted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .espeak import Espeak

COMMON = (Path(__file__).parent / "common_words.txt").read_text().split()

# Sounds in one group are too close to make another word of a wanted one: voiced and voiceless
# pairs, m and n, and the vowels that accents swap.
_CONSONANTS = [group.split() for group in ("p b", "t d", "k g", "f v", "s z", "S tS dZ", "m n")]
_CONSONANTS += [["l"], ["r"], ["w"], ["j"], ["h"]]
_VOWELS = [group.split() for group in ("I i: E eI", "a aI A: V 0", "aU", "oU O: u:", "3:")]
_VOWEL_LETTERS = "aeiouAEIOUV03@"  # what the mnemonics of vowels begin with
_ACCENTS = ("en-us", "en")  # two that hear different homophones


@dataclass(frozen=True)
class Utterance:
    """Something to say: its word in the data set and the text that espeak reads."""

    word: str
    text: str


def near_words(wanted: Sequence[str], count: int, random: np.random.Generator) -> list[Utterance]:
    """Up to `count` things that sound nearly like a wanted word, and like none of them.

    Parts of phrases first, then wanted words with one sound changed or dropped. Their words begin
    with an underscore, so that they never meet a wanted one.
    """
    with Espeak() as espeak:
        taken = _Sounds(espeak, wanted)
        parts = {part for word in wanted for part in spoken(word).split()}
        texts = {part: part for part in sorted(parts) if taken.is_new(part)}
        said = {word: espeak.phonemes(spoken(word)) for word in wanted}
        for attempt in range(20 * count):
            if len(texts) >= count:
                break
            word = wanted[attempt % len(wanted)]
            text = f"[[{'|'.join(_changed(said[word], random))}]]"
            if text not in texts and taken.is_new(text):
                texts[text] = f"_near_{word}"
    return [Utterance(word, text) for text, word in texts.items()]


def common_words(wanted: Sequence[str]) -> list[Utterance]:
    """The common words, but for those that sound like a wanted one."""
    with Espeak() as espeak:
        taken = _Sounds(espeak, wanted)
        return [Utterance(word, word) for word in COMMON if taken.is_new(word)]


def spoken(word: str) -> str:
    """The word as one would read it out: separators are spaces."""
    return word.replace("_", " ").replace("-", " ")


class _Sounds:
    """What the wanted words sound like, homophones and accents included."""

    def __init__(self, espeak: Espeak, wanted: Sequence[str]):
        self._espeak = espeak
        self._wanted = {self._of(spoken(word), accent) for word in wanted for accent in _ACCENTS}

    def is_new(self, text: str) -> bool:
        return all(self._of(text, accent) not in self._wanted for accent in _ACCENTS)

    def _of(self, text: str, accent: str) -> str:
        return "".join(_bare(phoneme) for phoneme in self._espeak.phonemes(text, accent))


def _bare(phoneme: str) -> str:
    return phoneme.lstrip("',%")  # stress marks


def _changed(phonemes: list[str], random: np.random.Generator) -> list[str]:
    """The phonemes with one of them replaced by a distant one, or dropped if several remain."""
    at = int(random.integers(len(phonemes)))
    before, old, after = phonemes[:at], phonemes[at], phonemes[at + 1 :]
    vowel = _bare(old)[:1] in _VOWEL_LETTERS
    if not vowel and len(phonemes) > 3 and random.random() < 0.25:
        return before + after
    groups = [group for group in (_VOWELS if vowel else _CONSONANTS) if _bare(old) not in group]
    group = groups[random.integers(len(groups))]
    stress = old[: len(old) - len(_bare(old))]
    return [*before, stress + group[random.integers(len(group))], *after]

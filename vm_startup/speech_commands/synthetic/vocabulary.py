"""Words for the unknown class: common words, parts of wanted phrases, near misses of words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vm_startup.speech_commands.synthetic.espeak import Espeak

COMMON_WORDS = (Path(__file__).parent / "common_words.txt").read_text().split()

# Sounds in one group are too similar to turn a wanted word into another: voiced and voiceless
# pairs, m and n, and the vowels that accents swap.
_CONSONANTS = [group.split() for group in ("p b", "t d", "k g", "f v", "s z", "S tS dZ", "m n")]
_CONSONANTS += [["l"], ["r"], ["w"], ["j"], ["h"]]
_VOWELS = [group.split() for group in ("I i: E eI", "a aI A: V 0", "aU", "oU O: u:", "3:")]
_VOWEL_LETTERS = "aeiouAEIOUV03@"  # first characters of vowels' mnemonics
_ACCENTS = ("en-us", "en")  # two with different homophones


@dataclass(frozen=True)
class Utterance:
    """Something to speak: its word in the data set and the text that espeak reads."""

    word: str
    text: str


def parts_of(wanted: Sequence[str]) -> list[Utterance]:
    """The single words of wanted phrases, which are not the phrase."""
    parts = sorted({part for word in wanted for part in spoken(word).split()})
    return [Utterance(part, part) for part in _unlike(wanted, parts)]


def near_misses(wanted: Sequence[str], count: int, random: np.random.Generator) -> list[Utterance]:
    """Up to `count` wanted words with one sound changed or dropped.

    Their words begin with an underscore, so that they never meet a wanted one.
    """
    with Espeak() as espeak:
        phonemes = [espeak.phonemes(spoken(word)) for word in wanted]
    texts = {}
    for attempt in range(2 * count):
        at = attempt % len(wanted)
        texts[f"[[{'|'.join(_changed(phonemes[at], random))}]]"] = f"_near_{wanted[at]}"
    return [Utterance(texts[text], text) for text in _unlike(wanted, texts)][:count]


def common_words(wanted: Sequence[str]) -> list[Utterance]:
    """The common words without those that sound like a wanted one."""
    return [Utterance(word, word) for word in _unlike(wanted, COMMON_WORDS)]


def spoken(word: str) -> str:
    """The word as it is read aloud: separators are spaces."""
    return word.replace("_", " ").replace("-", " ")


def _unlike(wanted: Sequence[str], texts: Iterable[str]) -> list[str]:
    """The texts that do not sound like a wanted word in any accent."""
    with Espeak() as espeak:

        def sounds(text: str) -> set[str]:
            by_accent = (espeak.phonemes(text, accent) for accent in _ACCENTS)
            return {"".join(map(_bare, phonemes)) for phonemes in by_accent}

        taken = {sound for word in wanted for sound in sounds(spoken(word))}
        return [text for text in texts if not sounds(text) & taken]


def _bare(phoneme: str) -> str:
    return phoneme.lstrip("',%")  # stress marks


def _changed(phonemes: list[str], random: np.random.Generator) -> list[str]:
    """The phonemes with one replaced by a distant one, or dropped if several remain."""
    at = int(random.integers(len(phonemes)))
    before, old, after = phonemes[:at], phonemes[at], phonemes[at + 1 :]
    vowel = _bare(old)[:1] in _VOWEL_LETTERS
    if not vowel and len(phonemes) > 3 and random.random() < 0.25:
        return before + after
    groups = [group for group in (_VOWELS if vowel else _CONSONANTS) if _bare(old) not in group]
    group = groups[random.integers(len(groups))]
    stress = old[: len(old) - len(_bare(old))]
    return [*before, stress + group[random.integers(len(group))], *after]

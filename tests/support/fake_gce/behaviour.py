"""How the fake answers where the documents leave it open: order, pages, words, pace."""

import hashlib
import json
import random
import threading
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self

WORDS = ("request declined", "that did not work", "try something else", "cannot do this")
SPOKEN = ("message", "httpErrorMessage")  # fields for people, which nobody should parse


@dataclass
class Behaviour:
    """What differs from one server to another. Equal seeds give equal answers to equal requests."""

    seed: int = 0
    page_size: int = 500  # the longest page of a list
    shuffled: bool = False  # lists and JSON keys in random order; else by name, as documented
    own_words: bool = False  # error messages of its own
    most_seconds: float = 0.0  # an answer is late by a random time up to this
    unreachable: float = 0.0  # probability that a zone does not answer one request
    closing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._requests = count()

    @classmethod
    def disorderly(cls, seed: int, most_seconds: float, unreachable: float = 0.0) -> Self:
        """Everything random, and pages of one item."""
        return cls(seed, 1, True, True, most_seconds, unreachable)

    def request(self) -> "Turn":
        """The behaviour at the next request."""
        return Turn(self, random.Random(f"{self.seed} {next(self._requests)}"))

    def key(self, item: dict) -> str:
        """By which the items of a list are sorted, so that its pages fit together."""
        key = f"{item['name']} {item['selfLink']}"
        return hashlib.sha256(f"{self.seed} {key}".encode()).hexdigest() if self.shuffled else key


@dataclass
class Turn:
    """The behaviour at one request."""

    behaviour: Behaviour
    dice: random.Random

    def pause(self) -> None:
        """Wait before or after the execution of the request, half of the time each."""
        half = self.behaviour.most_seconds / 2
        if half:
            self.behaviour.closing.wait(self.dice.uniform(0, half))

    def silent(self, zones: list[str]) -> set[str]:
        """The zones that do not answer this request."""
        share = self.behaviour.unreachable
        return {zone for zone in zones if share and self.dice.random() < share}

    def text(self, answer: dict) -> bytes:
        """An answer as JSON."""
        return json.dumps(self._shown(answer, spoken=False)).encode()

    def _shown(self, value: Any, spoken: bool) -> Any:
        """`value` in its own order; `spoken`: within an error, so in its own words."""
        if isinstance(value, list):
            return [self._shown(one, spoken) for one in value]
        if not isinstance(value, dict):
            return value
        pairs = list(value.items())
        if self.behaviour.shuffled:
            self.dice.shuffle(pairs)
        own = self.behaviour.own_words
        return {
            key: self.dice.choice(WORDS)
            if own and key in SPOKEN and (spoken or key == "httpErrorMessage")
            else self._shown(one, spoken or key == "error")
            for key, one in pairs
        }

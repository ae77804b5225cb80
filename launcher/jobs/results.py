"""What a machine sent back, checked before anything is made of it: a machine is not trusted."""

import json
from pathlib import Path
from typing import Any

from firmware_export.labels import LONGEST, parse
from launcher.errors import JobFailed
from launcher.jobs.ledger import refer
from launcher.jobs.local_build import translated
from vm_startup.conventions import LABELS_FILE, METRICS_FILE, SILENCE, TEST_FEATURES_FILE, UNKNOWN
from vm_startup.speech_commands.data import survey_text

# A Number or a Reason; None for null; an object, of shapes by key; a list, with a shape for each
# entry.
VOICES = ("", *survey_text.VOICES)
Shape = Any
NAMED = 12  # labels in a message
MOST = 10**9  # of anything that is counted
LONGEST_REASON = 400  # characters
RARE = 1.0  # false accepts per hour that some threshold must keep below, for the report's table


class Number:
    """A finite JSON number within bounds; a whole one, and null, where that is said."""

    def __init__(self, most: float, whole: bool = False, null: bool = False) -> None:
        self._most, self._kinds, self._null = most, (int,) if whole else (int, float), null
        self._name = f"a {'whole ' * whole}number from 0 to {most:,}{' or null' * null}"

    def fits(self, value: object) -> bool:
        """Whether `value` is such a number."""
        if value is None or isinstance(value, bool):
            return value is None and self._null
        return isinstance(value, self._kinds) and 0 <= value <= self._most

    def __str__(self) -> str:
        return self._name


class Reason:
    """Why figures are missing, a line of text; null where none is."""

    def fits(self, value: object) -> bool:
        """Whether `value` is such a line, or null."""
        if not isinstance(value, str):
            return value is None
        return value.isprintable() and 0 < len(value) <= LONGEST_REASON

    def __str__(self) -> str:
        return f"a printable line of at most {LONGEST_REASON} characters or null"


SHARE, COUNT, RATE = Number(1), Number(MOST, whole=True), Number(MOST)
MAYBE, STEP = Number(1, null=True), Number(MOST, whole=True, null=True)
WORD = dict.fromkeys(("clips", "predicted", "correct"), COUNT) | {
    "precision": MAYBE,
    "recall": MAYBE,
}
POINT = {
    "threshold": SHARE,
    "missed": COUNT,
    "miss_rate": SHARE,
    "false_accepts": COUNT,
    "false_accepts_per_hour": RATE,
}
BOUNDS = {"miss_rate_interval": [SHARE] * 2, "false_accepts_per_hour_interval": [RATE] * 2}
ACCURACY = {"accuracy": SHARE, "interval": [SHARE] * 2}
OPERATING = {"operating_point": POINT | BOUNDS}
STREAM = {
    "hours": RATE,
    "keywords": COUNT,
    "other_words": COUNT,
    "seconds": dict.fromkeys(("average", "suppression", "tolerance"), RATE),
    "missing": Reason(),
}


@translated(JobFailed)
def check(folder: Path, words: list[str], machine: str) -> None:
    """Raise JobFailed unless the files in `folder` that were pulled from `machine` are those of a
    model of `words`: labels.txt, metrics.json, test_features.npz."""
    from firmware_export import clips

    labels = [SILENCE, UNKNOWN, *words]
    job = refer(folder)
    hint = f"launcher logs {job} shows what the machine did; launcher resume {job} tries again"
    for name, wrong in ((LABELS_FILE, _wrong_labels), (METRICS_FILE, _wrong_metrics)):
        try:
            problem = wrong((folder / name).read_bytes().decode("utf-8"), labels)
        except RecursionError:
            problem = "its values are nested too deeply"
        except ValueError as error:
            problem = f"it is not UTF-8, or not JSON: {error}"
        if problem:
            raise JobFailed(f"{name} of machine {machine} is not of this job: {problem}", hint)
    known = clips.load(folder / TEST_FEATURES_FILE).labels
    if not ((known >= -1) & (known < len(labels))).all():
        wrong_label = f"{TEST_FEATURES_FILE} of machine {machine} has labels beyond 0 to"
        raise JobFailed(f"{wrong_label} {len(labels) - 1}, those of {LABELS_FILE}", hint)


def _wrong_labels(text: str, labels: list[str]) -> str:
    found = parse(text)
    return "" if found == labels else f"it has {_listed(found)}, expected {_listed(labels)}"


def _listed(labels: list[str]) -> str:
    more = len(labels) - NAMED
    shown = ", ".join(label if len(label) <= LONGEST else _kind(label) for label in labels[:NAMED])
    return (shown or "no label") + (f" and {more:,} more" if more > 0 else "")


def _wrong_metrics(text: str, labels: list[str]) -> str:
    metrics = json.loads(text, object_pairs_hook=_unique, parse_constant=_refused)
    score = {
        **{"count": COUNT, "missing": Reason(), "chance": SHARE},
        "words": dict.fromkeys(labels, WORD),
        "confusion": [[COUNT] * len(labels)] * len(labels),
    }
    scores = "validation", "testing", "float_testing"
    parts: dict[str, Shape] = {n: score | _figures(metrics, n, ACCURACY) for n in scores}
    parts |= {"stream": STREAM | _figures(metrics, "stream", OPERATING), "exploded_step": STEP}
    if problem := _difference(metrics, parts):
        return problem
    if metrics.get("labels") != labels:
        return f"labels is {_kind(metrics.get('labels'))}, expected those of {LABELS_FILE}"
    if problem := _wrong_voices(metrics.get("voices")):
        return problem
    return _wrong_sources(metrics["testing"], score) or _wrong_curve(metrics["stream"])


def _wrong_voices(voices: object) -> str:
    kinds = ", ".join(map(repr, VOICES))
    if not isinstance(voices, dict) or not all(kind in VOICES for kind in voices.values()):
        return f"voices is {_kind(voices)}, expected one of {kinds} for each source"
    return ""


def _figures(parts: Any, name: str, figures: dict[str, Shape]) -> dict[str, Shape]:
    """The shapes of a part's figures: null where the part says why they are missing."""
    part = parts.get(name) if isinstance(parts, dict) else None
    missing = isinstance(part, dict) and part.get("missing") is not None
    return dict.fromkeys(figures) if missing else figures


def _wrong_sources(testing: dict[str, Any], score: Shape) -> str:
    sources = testing.get("by_source", {})  # the report does without
    names = list(sources) if isinstance(sources, dict) else []
    for name in names:
        if not name.isprintable() or len(name) > LONGEST:
            return f"testing.by_source has {_kind(name)}, expected a printable name"
    shapes = {name: score | _figures(sources, name, ACCURACY) for name in names}
    return _difference(sources, shapes, "testing.by_source")


def _wrong_curve(stream: dict[str, Any]) -> str:
    curve = stream.get("curve")
    points = len(curve) if isinstance(curve, list) else 1
    if problem := _difference(curve, [POINT] * points, "stream.curve"):
        return problem
    rare = any(point["false_accepts_per_hour"] <= RARE for point in curve or [])
    return "" if rare else f"stream.curve has no point of at most {RARE:g} false accept per hour"


def _difference(value: Any, shape: Shape, where: str = "") -> str:
    """The first place where `value` has not the shape, what is there and what would be right; ""
    where it has. Keys that the shape does not name may be there."""
    if isinstance(shape, (Number, Reason)):
        return "" if shape.fits(value) else f"{where} is {_kind(value)}, expected {shape}"
    if shape is None:
        return "" if value is None else f"{where} is {_kind(value)}, expected null"
    wrong_length = isinstance(shape, list) and isinstance(value, list) and len(value) != len(shape)
    if not isinstance(value, type(shape)) or wrong_length:
        return f"{where or 'all of it'} is {_kind(value)}, expected {_kind(shape)}"
    for key, part in shape.items() if isinstance(shape, dict) else enumerate(shape):
        place = f"{where}[{key}]" if isinstance(shape, list) else f"{where}.{key}".lstrip(".")
        if isinstance(shape, dict) and key not in value:
            return f"{place} is missing"
        if problem := _difference(value[key], part, place):
            return problem
    return ""


def _kind(value: Any) -> str:
    """A value in a message, however large it is."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    return json.dumps(value[:40] if isinstance(value, str) else value)[:60]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"one of the keys {_listed(list(found))} occurs twice")
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")

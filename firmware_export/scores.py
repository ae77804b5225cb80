"""How good a model is, in a few words: scores and streams as metrics.json has them → text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

MOST_WORDS = 4  # that a screen has room for
RATES = (1, 2, 5, 10, 20, 50)  # false accepts an hour


def words(score: dict, labels: Sequence[str]) -> dict[str, dict]:
    """What a score says of each wanted word: labels that stand for a word, not for all others.

    In the order of `labels`, which JSON with sorted keys does not keep.
    """
    return {name: score["words"][name] for name in labels if not name.startswith("_")}


def interval(score: dict) -> str:
    """The accuracy's interval: "87.2% to 97.5% with 95% confidence"."""
    low, high = score["interval"]
    return f"{low:.1%} to {high:.1%} with 95% confidence"


def word_lines(score: dict, labels: Sequence[str]) -> list[str]:
    """A small table: each word's precision and recall, the weakest alone where there are many."""
    found = words(score, labels)
    names, more = list(found), len(found) - MOST_WORDS
    if more > 0:
        names = sorted(names, key=lambda name: found[name]["recall"] or 0)[:MOST_WORDS]
    width = max(map(len, names), default=0)
    lines = [
        f"{name:{width}}  precision {share(found[name]['precision'])}, "
        f"recall {share(found[name]['recall'])}"
        for name in names
    ]
    return lines + ([f"recall of {more} more words is no lower"] if more > 0 else [])


def share(value: float | None) -> str:
    """A share of one, or a dash where there is none."""
    return "–" if value is None else f"{value:.1%}"


def stream(found: dict) -> str:
    """One sentence on the recording, at the point that was chosen to work at."""
    point = found["operating_point"]
    rate = point["false_accepts_per_hour"]
    times = f"{rate:.1f} false accepts" if rate else "no false accept"
    return (
        f"hears {1 - point['miss_rate']:.0%} of {found['keywords']:,} words at {times} an hour, "
        f"over {found['hours']:.2g} h of words, others and noise"
    )


def stream_bounds(found: dict) -> str:
    """What the recording leaves open."""
    point = found["operating_point"]
    fewest, most = point["miss_rate_interval"]
    low, high = point["false_accepts_per_hour_interval"]
    return (
        f"with 95% confidence {1 - most:.0%} to {1 - fewest:.0%} of the words and "
        f"{low:.1f} to {high:.1f} false accepts an hour"
    )


def word_table(score: dict, labels: Sequence[str]) -> str:
    """The words as a Markdown table."""
    lines = ["| word | precision | recall | clips |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {share(word['precision'])} | {share(word['recall'])} | {word['clips']:,} |"
        for name, word in words(score, labels).items()
    ]
    return "\n".join(lines)


def confusion_table(score: dict, labels: Sequence[str]) -> str:
    """Clips by what they are and what they were taken for, as a Markdown table."""
    return "\n".join(_confusion(score, labels))


def _confusion(score: dict, labels: Sequence[str]) -> Iterator[str]:
    yield "".join(f"| {name} " for name in ["is \\ taken for", *labels]) + "|"
    yield "|---" + "|---:" * len(labels) + "|"
    for name, counts in zip(labels, score["confusion"], strict=True):
        yield "".join(f"| {cell} " for cell in [name, *counts]) + "|"


def curve_table(found: dict) -> str:
    """The curve as a Markdown table: the fewest misses at each of a few rates of false accepts.

    Rates that the recording is too short to tell from none are left out, but for the first.
    """
    lines = ["| false accepts an hour, at most | misses | threshold |", "|---:|---:|---:|"]
    for rate in [rate for rate in RATES if rate == RATES[0] or rate * found["hours"] >= 1]:
        good = [point for point in found["curve"] if point["false_accepts_per_hour"] <= rate]
        best = min(good, key=lambda point: (point["missed"], -point["threshold"]))
        lines.append(f"| {rate:g} | {best['miss_rate']:.1%} | {best['threshold']:.2f} |")
    return "\n".join(lines)

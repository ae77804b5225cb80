"""Scores and streams, as in metrics.json, as text for the screen and for report.md."""

from collections.abc import Sequence

MOST_WORDS = 4  # on a screen
RATES = (1, 2, 5, 10, 20, 50)  # false accepts per hour


def words(score: dict, labels: Sequence[str]) -> dict[str, dict]:
    """The score of each wanted word, without silence and unknown, in the order of `labels`."""
    return {name: score["words"][name] for name in labels if not name.startswith("_")}


def interval(score: dict) -> str:
    """The interval of the accuracy: "87.2% to 97.5% with 95% confidence"."""
    low, high = score["interval"]
    return f"{low:.1%} to {high:.1%} with 95% confidence"


def word_lines(score: dict, labels: Sequence[str]) -> list[str]:
    """Precision and recall of each word; of many words, those with the lowest recall."""
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
    return lines + ([f"{more} more words have the same or a higher recall"] if more > 0 else [])


def share(value: float | None) -> str:
    """A share as a percentage; a dash for None."""
    return "–" if value is None else f"{value:.1%}"


def stream(found: dict) -> str:
    """The operating point on the long recording, in one sentence, or why there is none."""
    if found["missing"]:
        return f"not judged: {found['missing']}"
    point = found["operating_point"]
    return (
        f"detects {1 - point['miss_rate']:.0%} of {found['keywords']:,} words at "
        f"{point['false_accepts_per_hour']:.1f} false accepts per hour, in {found['hours']:.2g} h "
        "of speech and noise"
    )


def stream_bounds(found: dict) -> list[str]:
    """The confidence intervals of the operating point; no line where there is none."""
    if found["missing"]:
        return []
    point = found["operating_point"]
    fewest, most = point["miss_rate_interval"]
    low, high = point["false_accepts_per_hour_interval"]
    return [
        f"with 95% confidence {1 - most:.0%} to {1 - fewest:.0%} of the words and "
        f"{low:.1f} to {high:.1f} false accepts per hour"
    ]


def word_table(score: dict, labels: Sequence[str]) -> str:
    """The words as a Markdown table."""
    lines = ["| word | precision | recall | clips |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {share(word['precision'])} | {share(word['recall'])} | {word['clips']:,} |"
        for name, word in words(score, labels).items()
    ]
    return "\n".join(lines)


def confusion_table(score: dict, labels: Sequence[str]) -> str:
    """The confusion matrix as a Markdown table."""
    counted = zip(labels, score["confusion"], strict=True)
    rows = [["label \\ predicted", *labels], *([name, *counts] for name, counts in counted)]
    heading, *lines = ["".join(f"| {cell} " for cell in row) + "|" for row in rows]
    return "\n".join([heading, "|---" + "|---:" * len(labels) + "|", *lines])


def curve_table(found: dict) -> str:
    """The curve as a Markdown table: the lowest miss rate for some rates of false accepts.

    Rates that are below one false accept in the whole recording are left out, except the first.
    """
    lines = ["| false accepts per hour, at most | miss rate | threshold |", "|---:|---:|---:|"]
    for rate in [rate for rate in RATES if rate == RATES[0] or rate * found["hours"] >= 1]:
        good = [point for point in found["curve"] if point["false_accepts_per_hour"] <= rate]
        best = min(good, key=lambda point: (point["missed"], -point["threshold"]))
        lines.append(f"| {rate:g} | {best['miss_rate']:.1%} | {best['threshold']:.2f} |")
    return "\n".join(lines)

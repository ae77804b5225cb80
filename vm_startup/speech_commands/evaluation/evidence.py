"""What held-out clips can show. A figure that they cannot show is null in metrics.json, with the
reason under "missing", which names flags of the trainer."""

from typing import Any

from vm_startup.speech_commands.evaluation import intervals

# At the operating point. Speech or noise is never more than three seconds away in the recording: an
# hour of it holds as much as a day in most rooms.
MAX_FALSE_ACCEPTS_PER_HOUR = 10.0
OTHERS = (
    "add a folder of other words, --data_url or --synthetic_clips, or raise --unknown_percentage"
)


def accuracy(others: int) -> str | None:
    """Why clips show no accuracy, with so many clips of other words; None if they show one.

    Most of what a device hears is other words: a model that takes each for a wanted one has 100 %
    on clips without any.
    """
    if _enough(others):
        return None
    return f"{_few(others, 'other words')} to judge by: {OTHERS}"


def stream(words: int, others: int, noises: int, hours: float) -> str | None:
    """Why a recording shows no operating point: made of so many clips of wanted words, clips of
    other words and noises, and so many hours long; None if it shows one."""
    if problem := accuracy(others):
        return problem
    if not noises:
        return "no noise to judge by: add a folder _background_noise_ or --synthetic_clips"
    if not _enough(words):
        return f"{_few(words, 'wanted words')} to judge by: raise --testing_percentage"
    most = intervals.poisson(0, hours)[1]
    if most > MAX_FALSE_ACCEPTS_PER_HOUR:
        return (
            f"{hours:.2g} h are too few to judge by, because even without a false accept there may "
            f"be {most:.0f} per hour: add recordings of wanted words, or raise --testing_percentage"
        )
    return None


def chance(score: dict[str, Any]) -> str | None:
    """What to say of a score, as in metrics.json, that is not proved better than the same label
    for every clip; None if it is better, or not judged."""
    if score["missing"] or score["interval"][0] > score["chance"]:
        return None
    return (
        f"no better than chance, as far as {score['count']:,} clips show: one label for all of "
        f"them is correct on {score['chance']:.1%}"
    )


def _enough(clips: int) -> bool:
    """Whether a model that is correct on all of them is proved better than a coin: four are."""
    return intervals.wilson(clips, clips)[0] > 0.5


def _few(clips: int, what: str) -> str:
    return f"{clips} clip{'s' * (clips != 1)} of {what}, too few" if clips else f"no {what}"

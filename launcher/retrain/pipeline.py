"""The story of one retraining, on one screen."""

from datetime import datetime
from pathlib import Path

from launcher.config import loading as configs
from launcher.console import Screen
from launcher.errors import ConfigError, Interrupted, LauncherError, NotNow
from launcher.jobs.local_build import translated
from launcher.retrain import fingerprint, notify
from launcher.retrain.history import History
from launcher.retrain.retraining import Retraining, utc


def retrain(
    path: Path,
    overrides: tuple[str, ...] = (),
    *,
    force: bool = False,
    scheduled: datetime | None = None,
    expect: str = "",
    screen: Screen,
) -> dict:
    """From a config to a verdict: the run's record, with `verdict` and `exit_code`.

    A config whose bytes have another SHA-256 than `expect` fails, and is told of like any failure.
    What the history says is done is not done again, so the same call begins a run and takes up one
    that was killed. Raises NotNow while another launcher retrains this model, UsageError where
    config, history or champion cannot be used, Interrupted; a run that had begun is then taken up
    by the next call.
    """
    config = configs.load(path, overrides)
    notify.check(config.retrain)
    seen = fingerprint.take(config)
    with History.take(config.name) as past, translated():
        work = Retraining(config, seen, past, screen)
        work.catch_up()
        edited = expect not in ("", configs.digest(path))
        if answer := work.answered(utc(scheduled)) or work.unchanged(force or edited):
            return answer
        work.begin(utc(scheduled))
        try:
            work.end(_conclude(work, path if edited else None))
        except (Interrupted, NotNow):
            raise
        except (LauncherError, OSError) as error:
            work.fail(error)
        except Exception as error:  # a mistake of ours is told like any other, and shown whole
            work.fail(LauncherError(repr(error)))
            work.tell()
            raise
        work.tell()
        return work.record


def _conclude(work: Retraining, edited: Path | None) -> str:
    """Train, compare, promote: the verdict. Raises ConfigError for a config that was `edited`."""
    from launcher.retrain import steps

    if edited and not work.run.comparison:  # what was decided needs no config any more
        accept = "launcher schedule add --replace accepts what it says now"
        raise ConfigError(f"{edited} was edited since it was scheduled", accept)
    with translated():
        steps.check(work)
        job = steps.train(work)
        steps.decide(work, job)
        return steps.promote(work, job)

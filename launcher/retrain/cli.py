"""The commands `launcher retrain`, `rollback` and `history`: parse, call one function, print."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from launcher.console import error_text, json_text, screen
from launcher.options import BACKEND, CONFIG, JSON, SET, with_backend


def _moment(text: str | None) -> datetime | None:
    with contextlib.suppress(ValueError, OverflowError):  # year 1 began earlier in some time zones
        moment = datetime.fromisoformat(text) if text else None
        if not moment or moment.tzinfo:
            return moment and moment.astimezone(UTC)
    raise click.BadParameter(f"{text!r}: write it as 2026-11-02T03:00:00+01:00")


@click.command()
@CONFIG
@BACKEND
@SET
@click.option("--force", is_flag=True, help="Retrain although nothing changed.")
@click.option(
    "--scheduled",
    callback=lambda _, __, text: _moment(text),
    metavar="TIME",
    help="ISO time of the schedule; each time is retrained once.",
)
@click.option("--expect", default="", metavar="SHA256", help="Fail if CONFIG has another digest.")
@JSON
@click.pass_context
def retrain(
    ctx: click.Context,
    config: Path,
    backend: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
    **choices: Any,
) -> None:
    """Retrain a model; promote it if it is better.

    Versions are in models/NAME/, and models/NAME/current is the one in use. Trains only if the
    config, the recordings or the versions of libraries changed. Continues a run that was killed.

    Exit codes: 0 promoted, kept or unchanged; 5 another retraining of the model is running, or
    the budget of the month is spent.
    """
    from launcher.retrain import pipeline, view

    chosen = with_backend(overrides, backend)
    done = pipeline.retrain(config, chosen, screen=screen(quiet=as_json), **choices)
    if done["error"]:
        click.echo(error_text(done["error"], done["hint"]), err=True)
    click.echo(json_text(done) if as_json else view.summary(done))
    click.echo(view.paying(done), err=as_json)
    ctx.exit(done["exit_code"])


@click.command()
@click.argument("name")
@click.argument("version", required=False, default="")
def rollback(name: str, version: str) -> None:
    """Return a model to an earlier version.

    Without VERSION: to the champion before the present one.
    """
    from launcher.retrain.rollback import rollback as roll_back

    done = roll_back(name, version)
    before, after = done["from"], done["to"]
    change = f"{before or '–'} → {after}" if before != after else f"{after} is the champion already"
    click.echo(f"{name}: {change}")


@click.command()
@click.argument("name")
@JSON
def history(name: str, as_json: bool) -> None:
    """Show every retraining of a model.

    What changed, both scores, the verdict and the cost.
    """
    from launcher.retrain import view

    shown = view.shown(name)
    click.echo(json_text(shown) if as_json else view.text(shown))

"""The commands `launcher schedule …`: parse, call one function, print."""

import json
import re
import sys
from pathlib import Path

import click

NAME = click.argument("name")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")


@click.group()
def schedule() -> None:
    """Retrain models at set times.

    \b
    launcher schedule add configs/yes_no.toml --cron "0 3 * * 1"   Mondays at 03:00
    launcher schedule run                                          start what is due, until Ctrl-C
    launcher schedule list                                         next and last runs
    """


@schedule.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--cron",
    required=True,
    metavar="EXPRESSION",
    help="Minute, hour, day of the month, month, day of the week, as crontab has them; a field for "
    "the second may stand before them.",
)
@click.option("--timezone", metavar="ZONE", help="Such as Europe/Berlin; default: this computer's.")
@click.option("--name", help="Default: the model's name. Another lets a model have two schedules.")
@click.option("--replace", is_flag=True, help="Take the place of the schedule of that name.")
@JSON
def add(config, cron, timezone, name, replace, as_json) -> None:
    """Retrain the model of CONFIG at set times, in the current folder.

    CONFIG is read now, and must be the same whenever it is used: one that was edited since is
    reported instead, until --replace accepts it.
    """
    from launcher.errors import UsageError
    from launcher.schedule import place, view
    from launcher.schedule.cron import checked, local_timezone
    from launcher.schedule.store import Schedules

    times = checked(cron, timezone or local_timezone())
    work = place.here(config)
    name = name or work.model
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", name):
        raise UsageError(f"--name {name}: use up to 40 of a-z, 0-9 and -, from a letter on")
    with Schedules() as schedules:
        made = schedules.add(name, work, times, replace)
        shown = view.one(made, schedules)
    click.echo(
        _json(shown) if as_json else f"{view.detail(shown)}\n{view.at_work(view.scheduler())}"
    )


@schedule.command("list")
@JSON
def list_(as_json) -> None:
    """Show every schedule, its next times, and what became of the last."""
    from launcher.schedule import view

    shown = view.everything()
    click.echo(_json(shown) if as_json else view.text(shown))


@schedule.command()
@NAME
def remove(name) -> None:
    """Forget the schedule NAME. Its model stays, and a run that goes on comes to its end."""
    from launcher.schedule import child
    from launcher.schedule import install as installer
    from launcher.schedule.store import Schedules

    with Schedules() as schedules:
        schedules.remove(name)
    going = "; its run that goes on comes to its end" if child.is_going(name) else ""
    click.echo(f"{name} is not scheduled any more{going}")
    for left in installer.left(name):
        click.echo(left)


@schedule.command()
@NAME
def pause(name) -> None:
    """Let the schedule NAME be due no more until resume."""
    from launcher.schedule.store import Schedules

    with Schedules() as schedules:
        schedules.pause(name)
    click.echo(f"{name} is paused; launcher schedule resume {name} goes on")


@schedule.command()
@NAME
def resume(name) -> None:
    """Let the paused schedule NAME be due again.

    What it missed meanwhile is not made up for.
    """
    from launcher.schedule.store import Schedules
    from launcher.schedule.tell import clock

    with Schedules() as schedules:
        found = schedules.resume(name)
    click.echo(f"{name} is due again, next {clock(found.due, found.cron.zone)}")


@schedule.command()
@click.option(
    "--max-parallel",
    type=click.IntRange(1, 1000),
    default=2,
    show_default=True,
    help="Retrainings that go on at once; others wait for their turn.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line for each event.")
def run(max_parallel, as_json) -> None:
    """Start what is due, for as long as this runs.

    One line for each event. Ctrl-C or SIGTERM: nothing new is begun, retrainings that go on give
    their machines back, and go on when the scheduler is started again.
    """
    from launcher.schedule import runner
    from launcher.schedule.tell import Teller

    # -P: the folder a retraining runs in may hold a launcher.py of its own
    runner.run((sys.executable, "-P", "-m", "launcher"), max_parallel, Teller(as_json))


@schedule.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--systemd", "how", flag_value="systemd", help="A user timer for each.")
@click.option("--crontab", "how", flag_value="crontab", help="A line of your crontab for each.")
@click.option("--print", "only_print", is_flag=True, help="Show it and touch nothing.")
def install(names, how, only_print) -> None:
    """Let systemd or cron start the schedules NAME, or all.

    That is instead of launcher schedule run. Each calls launcher retrain, which does nothing where
    an earlier one still goes. A schedule that is changed or removed later has to be installed
    again, or undone as is said.
    """
    from launcher.errors import UsageError
    from launcher.schedule import install as installer
    from launcher.schedule.store import Schedules

    with Schedules() as schedules:
        chosen = [schedules.find(name) for name in names] or schedules.all()
    if not chosen:
        raise UsageError("no schedules", "launcher schedule add makes one")
    if paused := [found.name for found in chosen if found.due is None]:
        raise UsageError(f"{paused[0]} is paused", f"launcher schedule resume {paused[0]}")
    installed = installer.install(chosen, how or "", only_print)
    shown = "\n".join(f"# {where}\n{text}" for where, text in installed.texts.items())
    click.echo(shown if only_print else installed.done)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)

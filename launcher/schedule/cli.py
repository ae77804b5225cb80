"""The commands `launcher schedule …`: parse, call one function, print."""

import sys
from pathlib import Path

import click

from launcher.console import json_text
from launcher.errors import UsageError
from launcher.options import CONFIG, JSON

NAME = click.argument("name")


@click.group()
def schedule() -> None:
    """Retrain models at set times.

    \b
    launcher schedule add yes_no --cron "0 3 * * 1"   Mondays at 03:00
    launcher schedule run                             start due runs until Ctrl-C
    launcher schedule list                            next and last runs
    """


@schedule.command()
@CONFIG
@click.option(
    "--cron",
    required=True,
    metavar="EXPRESSION",
    help="Minute, hour, day of the month, month, day of the week, as in a crontab. A sixth field "
    "before them is the second.",
)
@click.option("--timezone", metavar="ZONE", help="Such as Europe/Berlin; default: this computer's.")
@click.option("--name", help="Default: the model's name. Another name gives a second schedule.")
@click.option("--replace", is_flag=True, help="Replace the schedule that has this name.")
@JSON
def add(
    config: Path, cron: str, timezone: str | None, name: str | None, replace: bool, as_json: bool
) -> None:
    """Add a schedule for CONFIG.

    The launcher retrains the model of CONFIG in the current folder. A run fails if CONFIG was
    edited after this command; --replace accepts the edit.
    """
    from launcher.schedule import listing
    from launcher.schedule.cron import parse
    from launcher.schedule.store import NAME, Store
    from launcher.schedule.target import target_here
    from launcher.schedule.timezone import local_timezone

    times = parse(cron, timezone or local_timezone())
    target = target_here(config)
    name = name or target.model
    if not NAME.fullmatch(name):
        raise UsageError(f"--name {name}: use up to 40 of a-z, 0-9 and -, starting with a letter")
    shown = listing.one(Store().add(name, target, times, replace))
    scheduler = listing.scheduler_text(listing.running_scheduler())
    click.echo(json_text(shown) if as_json else f"{listing.detail(shown)}\n{scheduler}")


@schedule.command("list")
@JSON
def list_(as_json: bool) -> None:
    """List schedules with next and last runs."""
    from launcher.schedule import listing

    shown = listing.everything()
    click.echo(json_text(shown) if as_json else listing.text(shown))


@schedule.command()
@NAME
def remove(name: str) -> None:
    """Remove a schedule.

    Its model stays, and a run that is running continues to its end.
    """
    from launcher.schedule import install as installer
    from launcher.schedule import process
    from launcher.schedule.store import Store

    Store().remove(name)
    running = "; its current run continues to its end" if process.is_running(name) else ""
    click.echo(f"removed {name}{running}")
    for line in installer.leftovers(name):
        click.echo(line)


@schedule.command()
@NAME
def pause(name: str) -> None:
    """Pause a schedule."""
    from launcher.schedule.store import Store

    Store().pause(name)
    click.echo(f"paused {name}; continue it with: launcher schedule resume {name}")


@schedule.command()
@NAME
def resume(name: str) -> None:
    """Resume a paused schedule.

    Runs that it missed do not start.
    """
    from launcher.schedule.events import local_text
    from launcher.schedule.store import Store

    found = Store().resume(name)
    due = f", next {local_text(found.next, found.cron.zone)}" if found.next else ""
    click.echo(f"resumed {name}{due}")


@schedule.command()
@click.option(
    "--max-parallel",
    type=click.IntRange(1, 1000),
    default=2,
    show_default=True,
    help="The most retrainings that run at once; others wait.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each event.")
def run(max_parallel: int, as_json: bool) -> None:
    """Run the scheduler until Ctrl-C.

    It starts each run that is due, and prints a line for each event. After Ctrl-C or SIGTERM no
    new run starts. Runs delete their machines and end; the next scheduler continues them.
    """
    from launcher.schedule import scheduler
    from launcher.schedule.events import Events

    # -P: the folder of a retraining may have a launcher.py of its own
    scheduler.run((sys.executable, "-P", "-m", "launcher"), max_parallel, Events(as_json))


@schedule.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--systemd", "how", flag_value="systemd", help="A user timer for each schedule.")
@click.option("--crontab", "how", flag_value="crontab", help="A crontab line for each schedule.")
@click.option("--print", "only_print", is_flag=True, help="Print the files and change nothing.")
def install(names: tuple[str, ...], how: str | None, only_print: bool) -> None:
    """Let systemd or cron start schedules.

    It does so for each NAME, or for all schedules, instead of launcher schedule run. Each timer
    or line calls launcher retrain, which does nothing while an earlier retraining is running.
    Install a schedule again after you change it.
    """
    from launcher.schedule import install as installer
    from launcher.schedule.store import Store

    store = Store()
    chosen = [store.find(name) for name in names] or store.all()
    if not chosen:
        raise UsageError("no schedules", "launcher schedule add makes one")
    if paused := [found.name for found in chosen if found.next is None]:
        raise UsageError(f"{paused[0]} is paused", f"launcher schedule resume {paused[0]}")
    installed = installer.install(chosen, how or "", only_print)
    shown = "\n".join(f"# {where}\n{text}" for where, text in installed.texts.items())
    click.echo(shown if only_print else installed.summary)

"""Arguments and options that several commands share, with what a shell completes them to."""

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from launcher.machines.registry import BACKENDS

Completions = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _complete(names: Callable[[], Iterable[str]], files: bool = False) -> Completions:
    """What completes an argument: those of the names that fit, and perhaps files."""

    def complete(_: click.Context, __: click.Parameter, typed: str) -> list[CompletionItem]:
        found = [CompletionItem(name) for name in names() if name.startswith(typed)]
        return [*found, CompletionItem(typed, type="file")] if files else found

    return complete


def _configs() -> Iterable[str]:
    from launcher.config import loading

    return loading.built_in()


def _jobs() -> Iterable[str]:
    from launcher.jobs import folders

    return (folder.name for folder in folders.all_jobs())


config_names = _complete(_configs, files=True)
job_names = _complete(_jobs)

CONFIG = click.argument("config", type=click.Path(path_type=Path), shell_complete=config_names)
JOB = click.argument("job", shell_complete=job_names)
SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting, such as train.seed=7; repeatable.",
)
BACKEND = click.option(
    "--backend",
    type=click.Choice(list(BACKENDS)),
    help="; ".join(f"{name}: {entry.summary}" for name, entry in BACKENDS.items()) + ".",
)
DRY_RUN = click.option("--dry-run", is_flag=True, help="Short for --backend local.")
DETACH = click.option(
    "--detach", is_flag=True, help="Exit once the machine is at work; launcher resume returns."
)
PROJECT = click.option("--project", default="", help="Look in this Google Cloud project, too.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

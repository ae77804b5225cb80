"""Arguments and options that several commands share, with what a shell completes them to."""

from functools import partial
from pathlib import Path

import click
from click import Context, Parameter
from click.shell_completion import CompletionItem

from launcher.config import loading
from launcher.jobs import folders
from launcher.machines.registry import BACKENDS


def _config_names(_: Context, __: Parameter, typed: str) -> list[CompletionItem]:
    """Built-in configs, and files."""
    found = [CompletionItem(name) for name in loading.built_in() if name.startswith(typed)]
    return [*found, CompletionItem(typed, type="file")]


def job_names(_: Context, __: Parameter, typed: str) -> list[CompletionItem]:
    """The jobs in runs/ that fit what is typed."""
    names = [folder.name for folder in folders.all_jobs()]
    return [CompletionItem(name) for name in names if name.startswith(typed)]


def with_backend(overrides: tuple[str, ...], backend: str | None) -> tuple[str, ...]:
    """The values of --set, and that of --backend as one more."""
    return (*overrides, f"backend={backend}") if backend else overrides


FILE = click.Path(path_type=Path)
config = partial(click.argument, "config", type=FILE, shell_complete=_config_names)
CONFIG = config()
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
    "--detach", is_flag=True, help="Exit once the machine works; launcher resume returns to it."
)
PROJECT = click.option("--project", default="", help="Look in this Google Cloud project, too.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

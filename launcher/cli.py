"""The command line: parse, call one function, print."""

import codecs
import contextlib
import shlex
import sys
import traceback
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from firmware_export.__main__ import main as exporter
from launcher import __version__, interrupts, options
from launcher import data as training_data
from launcher import doctor as checks
from launcher import status as views
from launcher.config import data_checks, loading, reference
from launcher.config.settings import Config
from launcher.console import Screen, error_text, guard_streams, json_text, readable, screen
from launcher.errors import Detached, Interrupted, LauncherError, Unseen, UsageError, describe
from launcher.jobs import control, folders, report
from launcher.jobs import plan as plans
from launcher.jobs import reap as reaping
from launcher.jobs.ledger import Ledger, refer
from launcher.jobs.local_build import translated
from launcher.options import BACKEND, CONFIG, DETACH, DRY_RUN, FILE, JOB, JSON, PROJECT, SET
from launcher.retrain.cli import history, retrain, rollback
from launcher.schedule.cli import schedule
from vm_startup.speech_commands.progress import Progress

NAME = "launcher"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Turn spoken words into proven firmware.

    The firmware fits a bluepill (STM32F103) and is proved in an emulator.

    \b
    launcher train quickstart    "yes" and "no", on this computer, at no cost
    launcher init words.toml     write a config for other words
    launcher train words.toml    train them
    launcher status              jobs, and what is paid for

    A CONFIG is a TOML file or a built-in config: any_words, cheapest,
    classic, quickstart or yes_no. Shell completion: launcher completion --help.

    Exit codes: 0 done; 1 the job failed; 2 the command or config is wrong;
    3 the cloud refused; 4 the firmware does not fit or match; 5 not now;
    130 interrupted.
    """


@cli.command()
@click.argument("file", type=FILE, required=False)
@click.option(
    "--words", default="yes,no", show_default=True, help="The words to detect, separated by commas."
)
def init(file: Path | None, words: str) -> None:
    """Write a config to start from.

    FILE, by default named after the first word, trains on synthetic speech on this computer. Its
    comments show every other setting, with its default.
    """
    wanted = [word.strip() for word in words.split(",")]
    data_checks.check_words(tuple(wanted))
    file = file or Path(reference.starter_name(wanted))
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(reference.starter(wanted))
    except FileExistsError:
        raise UsageError(f"{file} exists", "name another file") from None
    except OSError as error:
        raise UsageError(describe(error), "name a file in a folder that exists") from None
    click.echo(f"wrote {file}; next: launcher train {shlex.quote(str(file))}")


@cli.command()
@CONFIG
@BACKEND
@DRY_RUN
@click.option("--out", type=FILE, metavar="DIR", help="The job's new folder; default runs/JOB.")
@DETACH
@SET
@JSON
def train(config: Path, out: Path | None, detach: bool, as_json: bool, **choices: Any) -> None:
    """Train the words of CONFIG into firmware.

    The job's folder gets the frozen graph, the quantised model, its C array, bluepill.bin and a
    report. The launcher always deletes the machine that trained.
    """
    settings = _settings(config, **choices)
    with _progress(as_json) as progress:
        ledger = control.begin(settings, out, progress)
    _finish(ledger, as_json, detach)


@cli.command()
@CONFIG
@BACKEND
@DRY_RUN
@SET
@JSON
def plan(config: Path, as_json: bool, **choices: Any) -> None:
    """Show what a job would do and cost.

    Creates nothing. Works without a cloud account: what only the cloud can answer is then marked as
    open.
    """
    settings = _settings(config, **choices)
    with _progress(as_json) as progress:
        name = f"{settings.name}-N"
        made = control.draft(settings, name, needs_account=False, progress=progress)
    shown = {**made.to_json(), "script": plans.job_script(made)}
    click.echo(json_text(shown) if as_json else plans.text(made))


@cli.command()
@CONFIG
@click.option("--play", metavar="WORD", help="Play the clips of WORD, one after the other.")
@click.option("--save", type=FILE, metavar="DIR", help="Write every clip to the new folder DIR.")
@SET
@JSON
@click.pass_context
def data(
    ctx: click.Context,
    config: Path,
    play: str,
    save: Path | None,
    as_json: bool,
    overrides: Any,
) -> None:
    """Show what becomes of every recording.

    For each word: files, clips, what is cut, converted or left out, speakers and splits. A file
    that is not used has a line that says why; --json has every name. Exit code 2: they cannot be
    trained on, for the reason that is printed last.
    """
    settings = _settings(config, overrides)
    with _progress(as_json) as progress:
        found = training_data.survey(settings, progress)
    if play:
        for line in training_data.play(found, play):
            click.echo(line)
    elif save:
        with _progress(as_json) as progress:
            count = training_data.save(found, save, progress)
        click.echo(f"wrote {count:,} clips to {save}")
    else:
        facts = [survey.facts for _, survey in found]
        shown = training_data.as_json(settings, facts)
        try:
            training_data.check(settings, found)
        except LauncherError as error:
            shown |= error.to_json()
        click.echo(json_text(shown) if as_json else training_data.text(settings, facts))
        if "error" in shown:
            click.echo(error_text(readable(shown["error"]), readable(shown["hint"])), err=True)
            ctx.exit(shown["exit_code"])


@cli.command()
@click.argument("job", required=False, shell_complete=options.job_names)
@PROJECT
@JSON
@click.pass_context
def status(ctx: click.Context, job: str | None, project: str, as_json: bool) -> None:
    """Show jobs, machines and what is paid for.

    Without JOB: every job in runs/, and every machine here and in the cloud.
    """
    shown = views.one(folders.find(job)) if job else views.everything(project)
    click.echo(json_text(shown) if as_json else views.text(shown))
    ctx.exit(Unseen.exit_code if shown.get("unseen") else 0)


@cli.command()
@JOB
@click.option("-f", "--follow", is_flag=True, help="Follow the log until the job ends.")
def logs(job: str, follow: bool) -> None:
    """Print the training log of JOB.

    To a terminal as readable text, elsewhere byte for byte.
    """
    log = views.log(folders.find(job), follow)
    shown: Iterable[str | bytes] = log
    if sys.stdout and sys.stdout.isatty():  # a character may be cut at the end of a chunk
        shown = codecs.iterdecode(log, "utf-8", "surrogateescape")
    for chunk in shown:
        click.echo(chunk, nl=False)


@cli.command()
@JOB
@click.option(
    "--add-minutes",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Allow this much more machine time than the plan.",
)
@DETACH
@JSON
def resume(job: str, add_minutes: float, detach: bool, as_json: bool) -> None:
    """Continue JOB where it stopped.

    What was trained and pulled is not trained again.
    """
    _finish(control.resume(folders.find(job), add_minutes), as_json, detach)


@cli.command()
@JOB
def cancel(job: str) -> None:
    """End JOB and delete its machine."""
    folder = folders.find(job)
    with _saying_what_is_paid(folder):
        ended = control.cancel(folder)
    click.echo(f"{ended.name} is cancelled. {report.paying(ended, refer(folder))}")


@cli.command()
@click.argument("machine", nargs=-1)
@PROJECT
@click.option(
    "--everybody",
    is_flag=True,
    help="Also delete machines that other users and computers created in the project, although "
    "their jobs may still be running.",
)
@JSON
def reap(machine: tuple[str, ...], project: str, everybody: bool, as_json: bool) -> None:
    """Delete machines that no living job owns.

    A job lives while a launcher works on it, from any folder, and while its machine works
    detached. This looks on this computer, in every project that the launcher used from here,
    and in the project of the credentials. With MACHINE: only these, wherever they came from.
    """
    done = reaping.reap(project, machine, everybody, partial(click.echo, err=True))
    left = done.left
    if as_json:
        unseen = [error.to_json() for error in left.unseen]
        facts = {"looked_at": left.places, "unseen": unseen, "paying": left.verdict()}
        click.echo(json_text({"reaped": done.deleted, "failures": done.failures, **facts}))
    else:
        lines = [f"deleted {name}" for name in done.deleted] or ["nothing to delete"]
        lines += [f"not seen: {error}" for error in left.unseen]
        click.echo("\n".join([*lines, left.verdict()]))
    if done.failures:
        raise LauncherError("; ".join(done.failures), "launcher status shows what is left")
    if left.unseen:
        hint = left.unseen[0].hint
        raise Unseen(f"{len(left.unseen)} places or jobs could not be seen", hint)


for command in (schedule, retrain, rollback, history):
    cli.add_command(command)


@cli.command(params=exporter.params, help=exporter.help)
def export(**choices: Any) -> None:
    """The exporter's own command, with the launcher's errors."""
    assert exporter.callback
    with translated():
        exporter.callback(**choices)


@cli.command()
@options.config(required=False)
@SET
@JSON
@click.pass_context
def doctor(ctx: click.Context, config: Path | None, as_json: bool, **choices: Any) -> None:
    """Check this computer and the cloud project.

    With CONFIG: the project that its machine would be created in, too.
    """
    found = checks.examine()
    if config:
        found += checks.examine_backend(_settings(config, **choices))
    click.echo(json_text(found) if as_json else checks.text(found))
    ctx.exit(0 if all(check["ok"] or check["optional"] for check in found) else 1)


@cli.command()
def schema() -> None:
    """Print the JSON Schema of configs.

    Editors with a TOML language server (taplo) complete and check a config whose first line is
    #:schema FILE.
    """
    click.echo(json_text(reference.schema()))


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script for shell completion.

    \b
    bash, ~/.bashrc:     eval "$(launcher completion bash)"
    zsh, ~/.zshrc:       eval "$(launcher completion zsh)"
    fish, config.fish:   launcher completion fish | source
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found  # click knows these shells
    click.echo(found(cli, {}, NAME, "_LAUNCHER_COMPLETE").source())


def main(interrupted: bool = False) -> None:
    """The command `launcher`: the one place where errors become messages and exit codes.
    `interrupted`: a Ctrl-C came before it began."""
    interrupts.handle_signals()
    guard_streams()
    try:
        if interrupted:
            raise KeyboardInterrupt
        code = cli(prog_name=NAME, standalone_mode=False)
    except (click.ClickException, LauncherError) as error:
        code = _explain(error)
    except (KeyboardInterrupt, click.Abort):
        code = _explain(Interrupted("interrupted"))
        click.echo("\n".join(views.open_leases(sys.argv[1:])), err=True)
    except OSError as error:
        code = _explain(LauncherError(describe(error)))
    except Exception:  # a mistake in the launcher itself
        traceback.print_exc()
        click.echo("\n".join(views.open_leases(sys.argv[1:])), err=True)
        code = LauncherError.exit_code
    sys.exit(code)


def _settings(
    path: Path, overrides: tuple[str, ...], backend: str | None = None, dry_run: bool = False
) -> Config:
    if dry_run and backend not in (None, "local"):
        raise UsageError(f"--dry-run and --backend {backend} exclude each other", "leave one out")
    return loading.load(path, options.with_backend(overrides, "local" if dry_run else backend))


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    """Shows how far the reading of recordings is, once there is something to show."""
    shown: list[Screen] = []

    def progress(what: str, done: int, total: int) -> None:
        if not shown:
            shown.append(screen(quiet))
        shown[0].progress(what, done, total)

    try:
        yield progress
    finally:
        for one in shown:
            one.close()


def _finish(ledger: Ledger, as_json: bool, detach: bool = False) -> None:
    try:
        with _saying_what_is_paid(ledger.folder), ledger:
            done = control.finish(ledger, screen(quiet=as_json), detach)
    except Detached:
        message = report.detached(ledger.job, refer(ledger.folder))
        click.echo(json_text(views.one(ledger.folder)) if as_json else message)
        return
    click.echo(json_text(done) if as_json else report.summary(done))
    click.echo(report.paying(ledger.job, refer(ledger.folder)), err=as_json)


@contextlib.contextmanager
def _saying_what_is_paid(folder: Path) -> Iterator[None]:
    """Ends the command at an error, with what is still being paid for the job in `folder`."""
    try:
        yield
    except LauncherError as error:
        code = _explain(error)
        with contextlib.suppress(LauncherError):  # of a ledger that cannot be read
            click.echo(views.one(folder)["paying"], err=True)
        sys.exit(code)


def _explain(error: LauncherError | click.ClickException) -> int:
    """Print what went wrong, for a script also as JSON; the exit code."""
    message, hint = readable(str(error)), readable(getattr(error, "hint", ""))
    if isinstance(error, click.ClickException):
        error.show()
    else:
        if error.shown:
            click.echo(readable(error.shown), err=True)
        click.echo(error_text(message, hint), err=True)
    if "--json" in sys.argv:
        shown = error.to_json() if isinstance(error, LauncherError) else {}
        shown |= {"error": message, "hint": hint, "exit_code": error.exit_code}
        with contextlib.suppress(OSError):  # standard output may be what cannot be written
            click.echo(json_text(shown))
    return error.exit_code

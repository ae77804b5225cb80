"""The command line: parse, call one function, print."""

import contextlib
import json
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from firmware_export.__main__ import main as exporter
from launcher import __version__
from launcher.console import Forgiving
from launcher.errors import Detached, Interrupted, LauncherError, describe
from launcher.schedule.cli import schedule

CONFIG = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
JOB = click.argument("job")
SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one setting, such as train.seed=7; may be repeated.",
)
BACKEND = click.option(
    "--backend",
    type=click.Choice(["gce", "local"]),
    help="Where the machine comes from, instead of what the config says.",
)
DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Every step for real on this computer: no cloud, no cost."
)
DETACH = click.option(
    "--detach", is_flag=True, help="Leave once the machine is at work; launcher resume comes back."
)
PROJECT = click.option("--project", default="", help="Look into this Google Cloud project too.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Turn spoken words into firmware that fits a bluepill and is proved in an emulator.

    \b
    launcher train configs/quickstart.toml     from words to firmware, on this computer
    launcher train configs/yes_no.toml         the same on a rented Compute Engine machine
    launcher status                            every job here, and what is still paid for

    Exit codes: 0 done; 1 the job failed; 2 the command or config is wrong; 3 the cloud refused;
    4 the firmware does not fit or does not match; 5 not now; 130 interrupted.
    """


@cli.command()
@CONFIG
@BACKEND
@DRY_RUN
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The job's folder, which must not exist; default runs/JOB.",
)
@DETACH
@SET
@JSON
def train(config, backend, dry_run, out, detach, overrides, as_json) -> None:
    """Train the words of CONFIG and build their firmware.

    Results stand in runs/JOB/: the graph, the quantised model, its C array, bluepill.bin, and a
    report. The machine that trained is given back whatever happens.
    """
    from launcher.jobs import control

    settings = _settings(config, backend, dry_run, overrides)
    _finish(control.begin(settings, out), as_json, detach)


@cli.command()
@CONFIG
@BACKEND
@DRY_RUN
@SET
@JSON
def plan(config, backend, dry_run, overrides, as_json) -> None:
    """Show what would be created, run and paid for CONFIG; creates nothing."""
    from launcher.config import data_checks
    from launcher.jobs import control
    from launcher.jobs.plan import job_script, text

    settings = _settings(config, backend, dry_run, overrides)
    data_checks.check(settings, control.RUNS)
    quote = control.quoting(settings).quote(settings)
    made = control.make_plan(settings, f"{settings.name}-N", quote)
    script = job_script(made)
    click.echo(_json({**made.to_json(), "script": script}) if as_json else text(made))


@cli.command()
@click.argument("job", required=False)
@PROJECT
@JSON
@click.pass_context
def status(ctx, job, project, as_json) -> None:
    """Show JOB, or every job in runs/ and every machine that exists, here and in the cloud."""
    from launcher import status as view
    from launcher.jobs import control

    shown = view.one(control.find(job)) if job else view.everything(project)
    click.echo(_json(shown) if as_json else view.text(shown))
    ctx.exit(max((refusal["exit_code"] for refusal in shown.get("unseen", [])), default=0))


@cli.command()
@JOB
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
def logs(job, follow) -> None:
    """Print the training log of JOB."""
    from launcher import status as view
    from launcher.jobs import control

    for chunk in view.log(control.find(job), follow):
        click.get_binary_stream("stdout").write(chunk)
        click.get_binary_stream("stdout").flush()


@cli.command()
@JOB
@click.option(
    "--add-minutes",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Grant the job more machine time than its plan had.",
)
@DETACH
@JSON
def resume(job, add_minutes, detach, as_json) -> None:
    """Go on with JOB where it stopped; what was trained and pulled is not trained again."""
    from launcher.jobs import control

    _finish(control.take_up(control.find(job), add_minutes), as_json, detach)


@cli.command()
@JOB
def cancel(job) -> None:
    """End JOB and give its machine back."""
    from launcher.jobs import control, report

    ended = control.cancel(control.find(job))
    click.echo(f"{ended.name} is cancelled. {report.paying(ended)}")


@cli.command()
@PROJECT
@click.option(
    "--everybody",
    is_flag=True,
    help="Machines ordered from other computers too; whether their jobs live cannot be seen here.",
)
@JSON
def reap(project, everybody, as_json) -> None:
    """Give back every machine that no living job owns, here and in the cloud.

    A job that a launcher works on, from whichever folder, keeps its machine; so does one that was
    detached. Looks into every project that machines were rented in from this computer.
    """
    from launcher.jobs import control

    names, failures = control.reap(project, everybody)
    if as_json:
        click.echo(_json({"reaped": names, "failures": failures}))
    else:
        click.echo("\n".join([f"gave back {name}" for name in names] or ["nothing to give back"]))
    if failures:
        raise LauncherError("; ".join(failures), "launcher status shows what is left")


cli.add_command(schedule)


@cli.command()
@CONFIG
@BACKEND
@SET
@click.option("--force", is_flag=True, help="Retrain although nothing changed.")
@click.option(
    "--scheduled",
    callback=lambda _, __, text: _moment(text),
    metavar="ISO",
    help="The time this run was planned for; a second call for the same time trains nothing.",
)
@click.option("--expect", default="", metavar="SHA256", help="Fail where CONFIG is another file.")
@JSON
@click.pass_context
def retrain(ctx, config, backend, overrides, force, scheduled, expect, as_json) -> None:
    """Train CONFIG's model anew if anything changed, and use the result only if it is better.

    Versions stand in models/NAME/, the one in use is models/NAME/current. Safe to be called from
    anything, any number of times: what was begun is taken up. Exit codes: 0 promoted, kept or
    nothing changed; 5 another retraining is going, or the month's budget is spent.
    """
    from launcher.console import screen
    from launcher.retrain import pipeline, view

    if backend:
        overrides = (*overrides, f"backend={backend}")
    choices = {"force": force, "scheduled": scheduled, "expect": expect}
    done = pipeline.retrain(config, overrides, **choices, screen=screen(quiet=as_json))
    if done["error"]:
        click.echo(_told(done["error"], done["hint"]), err=True)
    click.echo(_json(done) if as_json else view.summary(done))
    click.echo(view.paying(done), err=as_json)
    ctx.exit(done["exit_code"])


@cli.command()
@click.argument("name")
@click.argument("version", required=False, default="")
def rollback(name, version) -> None:
    """Let models/NAME/current name VERSION again, or the champion before the present one."""
    from launcher.retrain.rollback import rollback as go_back

    done = go_back(name, version)
    before, after = done["from"], done["to"]
    change = f"{before or '–'} → {after}" if before != after else f"{after} is the champion already"
    click.echo(f"{name}: {change}")


@cli.command()
@click.argument("name")
@JSON
def history(name, as_json) -> None:
    """Show every retraining of the model NAME: what changed, both scores, the verdict, the cost."""
    from launcher.retrain import view

    shown = view.shown(name)
    click.echo(_json(shown) if as_json else view.text(shown))


@cli.command(params=exporter.params, help=exporter.help)
def export(**choices) -> None:
    """The exporter's own command, with the launcher's errors."""
    from launcher.jobs.local_build import translated

    with translated():
        exporter.callback(**choices)


@cli.command()
@click.argument("config", required=False, type=click.Path(path_type=Path, dir_okay=False))
@SET
@JSON
@click.pass_context
def doctor(ctx, config, overrides, as_json) -> None:
    """Say what is missing on this computer, and how to get it.

    With a CONFIG whose machine is rented: what is missing in its cloud project, too.
    """
    from launcher import doctor as checks

    found = checks.examine()
    if config:
        settings = _settings(config, None, False, overrides)
        found += checks.examine_cloud(settings) if settings.backend == "gce" else []
    click.echo(_json(found) if as_json else checks.text(found))
    ctx.exit(0 if all(check["ok"] or check["optional"] for check in found) else 1)


def main() -> None:
    """The command `launcher`: the one place where errors become words and exit codes."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup's wish is honoured
            signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if stream:  # closed by whoever started us, else; not every character set has an arrow
            stream.reconfigure(errors="replace")
    if sys.stderr:
        sys.stderr = Forgiving(sys.stderr)
    try:
        code = cli(standalone_mode=False)
    except click.ClickException as error:
        code = _explain(error)
    except LauncherError as error:
        code = _explain(error)
    except (KeyboardInterrupt, click.Abort):
        code = _explain(Interrupted("interrupted"))
    except OSError as error:
        code = _explain(LauncherError(describe(error)))
    sys.exit(code)


def _interrupt(*_) -> None:
    """SIGTERM and a closed terminal give machines back just as Ctrl-C does."""
    raise KeyboardInterrupt


def _moment(text: str | None) -> datetime | None:
    with contextlib.suppress(ValueError, OverflowError):  # the first year began earlier elsewhere
        moment = datetime.fromisoformat(text) if text else None
        if not moment or moment.tzinfo:
            return moment and moment.astimezone(UTC)
    raise click.BadParameter(f"{text!r}: write it as 2026-11-02T03:00:00+01:00")


def _settings(path, backend, dry_run, overrides):
    from launcher.config import loading

    if dry_run or backend:
        overrides = (*overrides, f"backend={'local' if dry_run else backend}")
    return loading.load(path, overrides)


def _finish(ledger, as_json, detach=False) -> None:
    from launcher import status
    from launcher.console import screen
    from launcher.jobs import control, job, report
    from launcher.jobs.ledger import refer

    try:
        with ledger:
            done = control.finish(ledger, screen(quiet=as_json), detach)
    except Detached:
        done = job.fold(ledger.records)
        told = report.detached(done, refer(ledger.folder))
        click.echo(_json(status.one(ledger.folder)) if as_json else told)
        return
    except LauncherError as error:
        code = _explain(error)
        click.echo(report.paying(job.fold(ledger.records)), err=True)
        sys.exit(code)
    click.echo(_json(done) if as_json else report.summary(done))
    click.echo(report.paying(job.fold(ledger.records)), err=as_json)


def _explain(error: LauncherError | click.ClickException) -> int:
    """Say what went wrong, to a script also as JSON; its exit code."""
    message, hint = str(error), getattr(error, "hint", "")
    if isinstance(error, click.ClickException):
        error.show()
    else:
        click.echo(_told(message, hint), err=True)
    if "--json" in sys.argv:
        told = {"error": message, "hint": hint, "exit_code": error.exit_code}
        told |= error.to_json() if isinstance(error, LauncherError) else {}
        with contextlib.suppress(OSError):  # standard output may be what cannot be written
            click.echo(_json(told))
    return error.exit_code


def _told(message: str, hint: str) -> str:
    return f"error: {message}" + (f"\nhint: {hint}" if hint else "")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)

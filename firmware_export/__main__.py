"""python -m firmware_export MODEL --out DIR: from a trained model to proven firmware."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import click

from firmware_export.boards import registry
from firmware_export.errors import ExportError

INTERRUPTED = 130


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="A new folder."
)
@click.option(
    "--inference",
    type=click.Choice(["int8", "uint8"]),
    default="int8",
    show_default=True,
    help="Input and output type of the .tflite from a graph.",
)
@click.option(
    "--convention",
    type=click.Choice(["2019", "2020", "current"]),
    default="2019",
    show_default=True,
    help="Form of the model as a C array, by the year of micro_speech.",
)
@click.option(
    "--compiler",
    type=click.Choice(["clang", "arm-none-eabi-gcc"]),
    default="clang",
    show_default=True,
    help="clang comes with this package; gcc must be on the PATH.",
)
@click.option(
    "--board",
    type=click.Choice(registry.names()),
    default=registry.DEFAULT.name,
    show_default=True,
    help="The chip that the firmware is for.",
)
@click.option(
    "--labels",
    metavar="A,B,C",
    help="Names of the model's scores; default: labels.txt beside MODEL.",
)
@click.option(
    "--clip",
    "clips",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="WORD/SOME.wav",
    help="A recording to test with; repeatable. WAV, FLAC, Ogg, MP3, AIFF and more. The firmware "
    "carries its first second.",
)
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Features of test clips.",
)
@click.option(
    "--stream",
    is_flag=True,
    help="Take frame after frame instead of a whole clip. The model's layers must not look ahead.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def main(model: Path, out: Path, labels: str | None, as_json: bool, **choices: Any) -> None:
    """Turn a model into proven firmware.

    MODEL is a frozen graph (.pb) or a .tflite. DIR gets the model as a C array, and firmware that
    gives TensorFlow Lite's scores in an emulated chip.

    Exit codes: 0 done; 1 a tool failed; 2 the input is wrong; 4 the firmware does not fit or
    does not match; 130 interrupted.
    """
    from firmware_export.export import export, text

    names = None if labels is None else labels.split(",")
    result = export(model, out, labels=names, progress=show, **choices)
    click.echo(json.dumps(result, indent=1) if as_json else text(result))


def show(what: str, done: int, total: int) -> None:
    """Progress: one line that moves on a terminal; elsewhere one at the start and the end."""
    if sys.stderr.isatty():
        # The stream as it was: the launcher's own shows a \r instead of acting on it.
        print(
            f"\r{what}: {done}/{total}", end="\n" * (done == total), file=sys.__stderr__, flush=True
        )
    elif done in (0, total):
        click.echo(f"{what}: {done}/{total}" if done else f"{what} …", err=True)


def run() -> int:
    """The command with its exit code; unfinished output is removed on SIGTERM, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    try:
        main(standalone_mode=False)
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except ExportError as problem:
        click.echo(f"error: {problem}", err=True)
        if problem.hint:
            click.echo(f"hint: {problem.hint}", err=True)
        return problem.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(run())

"""python -m firmware_export GRAPH --out DIR: from a trained model to proven firmware."""

import json
import signal
import sys
from pathlib import Path

import click

from firmware_export.errors import ExportError

INTERRUPTED = 130


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("graph", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option(
    "--inference",
    type=click.Choice(["int8", "uint8"]),
    default="int8",
    show_default=True,
    help="Input and output of the .tflite that is made of a graph.",
)
@click.option(
    "--convention",
    type=click.Choice(["2019", "2020", "current"]),
    default="2019",
    show_default=True,
    help="How the model is written as a C array.",
)
@click.option(
    "--compiler",
    type=click.Choice(["clang", "arm-none-eabi-gcc"]),
    default="clang",
    show_default=True,
    help="clang comes along from PyPI; gcc must be on the PATH.",
)
@click.option(
    "--labels", metavar="A,B,C", help="What the scores mean; else labels.txt beside GRAPH."
)
@click.option(
    "--clip",
    "clips",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="WORD/SOME.wav",
    help="A recording to test with and to put into the firmware; may be repeated.",
)
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    metavar="FILE.npz",
    help="Features of test clips.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def main(graph, out, inference, convention, compiler, labels, clips, features, as_json) -> None:
    """Turn GRAPH, a frozen graph (.pb) or a .tflite, into a C array and into bluepill firmware
    that is proved, in an emulated chip, to answer as TensorFlow Lite does.

    Exit codes: 0 done; 1 a tool failed; 2 the input is wrong; 4 the firmware does not fit or
    does not match; 130 interrupted.
    """
    from firmware_export import report
    from firmware_export.export import export

    result = export(
        graph,
        out,
        inference=inference,
        convention=convention,
        compiler=compiler,
        labels=None if labels is None else labels.split(","),
        clips=clips,
        features=features,
        progress=show,
    )
    click.echo(json.dumps(result, indent=1) if as_json else report.text(result))


def show(what: str, done: int, total: int) -> None:
    """One line when something begins and when it is over."""
    if done in (0, total):
        click.echo(f"{what}: {done}/{total}" if done else f"{what} …", err=True)


def run() -> int:
    """The command with its exit code; unfinished output is removed on SIGTERM too."""
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
        return problem.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(run())

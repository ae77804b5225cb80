"""The half of a job that happens here: from the frozen graph to proven firmware.

The one edge where firmware_export's errors become the launcher's.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from launcher.errors import ConfigError, FirmwareRefused, JobFailed

if TYPE_CHECKING:
    from launcher.jobs.pipeline import Work


def convert(work: "Work") -> None:
    """The frozen graph → the .tflite."""
    from firmware_export import steps

    with translated():
        steps.convert_step(
            work.folder, work.job.plan["firmware"]["inference"], work.screen.progress
        )


def c_model(work: "Work") -> None:
    """The .tflite → its C array."""
    from firmware_export import steps

    with translated():
        steps.c_model_step(work.folder, work.job.plan["firmware"]["convention"])


def firmware(work: "Work") -> None:
    """The .tflite → bluepill.elf and .bin, and the listener. Raises FirmwareRefused."""
    from firmware_export import steps

    with translated():
        steps.firmware_step(
            work.folder, work.job.plan["firmware"]["compiler"], work.screen.progress
        )


def emulate(work: "Work") -> None:
    """Every test clip through the emulated chip. Raises FirmwareRefused."""
    from firmware_export import steps

    with translated():
        steps.emulate_step(work.folder, work.screen.progress)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """firmware_export's errors as the launcher's, by the exit code that each carries."""
    from firmware_export.errors import ExportError

    try:
        yield
    except ExportError as error:
        kind = {2: ConfigError, 4: FirmwareRefused}.get(error.exit_code, JobFailed)
        raise kind(str(error), error.hint) from error

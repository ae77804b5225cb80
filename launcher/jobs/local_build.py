"""The half of a job that runs here: from the frozen graph to proven firmware. Here the errors of
firmware_export become the launcher's."""

import contextlib
from collections.abc import Iterator

from launcher.errors import ConfigError, FirmwareRefused, JobFailed, LauncherError
from launcher.jobs.context import JobContext


@contextlib.contextmanager
def translated(bad_input: type[LauncherError] = ConfigError) -> Iterator[None]:
    """firmware_export's errors as the launcher's, by the exit code that each has; `bad_input` where
    its input cannot be used, which is JobFailed where that came from a machine."""
    from firmware_export.errors import ExportError

    try:
        yield
    except ExportError as error:
        kind = {2: bad_input, 4: FirmwareRefused}.get(error.exit_code, JobFailed)
        raise kind(str(error), error.hint) from error


@translated(JobFailed)
def convert(context: JobContext) -> None:
    """The frozen graph → the .tflite."""
    from firmware_export import steps

    inference = context.job.plan.firmware.inference
    steps.convert_step(context.folder, inference, context.screen.progress)


@translated(JobFailed)
def write_c_array(context: JobContext) -> None:
    """The .tflite → its C array."""
    from firmware_export import steps

    steps.c_model_step(context.folder, context.job.plan.firmware.convention)


@translated(JobFailed)
def build(context: JobContext) -> None:
    """The .tflite → bluepill.elf and .bin, and the listener. Raises FirmwareRefused."""
    from firmware_export import steps

    compiler = context.job.plan.firmware.compiler
    steps.firmware_step(context.folder, compiler, context.screen.progress)


@translated(JobFailed)
def prove(context: JobContext) -> None:
    """Every test clip through the emulated chip. Raises FirmwareRefused."""
    from firmware_export import steps

    steps.emulate_step(context.folder, context.screen.progress)

"""The process around the trainer: its log, repeatable TensorFlow, exit codes."""

import io
import logging
import re
import sys
from collections.abc import Callable

import tensorflow as tf

from vm_startup import processor
from vm_startup.conventions import processor_line
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.progress import log

THREADS = 2


def log_to_stdout(verbosity: str = "INFO") -> None:
    """Write the log to standard output."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a recording's name need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    log.handlers = [logging.StreamHandler(sys.stdout)]
    log.setLevel(verbosity)
    log.propagate = False


def make_repeatable() -> None:
    """Make equal computations give equal bits; call it before TensorFlow computes anything.

    Logs the processor: without AVX2 and FMA, and on a GPU, bits may be others (see processor.py).
    """
    # A fixed number on every machine: sums are split by thread, and the split decides their last
    # bits.
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    tf.config.experimental.enable_op_determinism()
    gpu = ", with a GPU: the model may differ" if tf.config.list_physical_devices("GPU") else ""
    log.info(processor_line(processor.text(*processor.describe()) + gpu))


def exit_code(main: Callable[[], None]) -> int:
    """Run an entry point: 0, or 2 and one sentence for wrong data or flags and for a bad disk."""
    try:
        main()
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (OSError, tf.errors.ResourceExhaustedError, tf.errors.PermissionDeniedError) as error:
        reason = re.sub(r"{{.*?}} | \[Op:.*", "", str(error))  # TensorFlow's internal names
        print(f"error: a file cannot be read or written: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0

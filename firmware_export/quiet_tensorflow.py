"""TensorFlow, imported on first use, without its log lines."""

import contextlib
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from firmware_export.errors import BadModel, ToolMissing


@contextlib.contextmanager
def silenced_stderr() -> Iterator[None]:
    """Drops what is written to file descriptor 2: C++ writes there at any log level."""
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(null)
        os.close(kept)


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Delays Ctrl-C and SIGTERM: an exception in the middle of an import becomes another error."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def tensorflow() -> ModuleType:
    """The tensorflow module, imported on first use (seconds). Raises ToolMissing without it."""
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with signals_wait(), silenced_stderr():
            import tensorflow
    except ImportError as problem:
        raise ToolMissing(
            f"tensorflow cannot be imported: {problem}", "pip install tensorflow"
        ) from problem
    return tensorflow


def reason(problem: Exception) -> str:
    """The last line of TensorFlow's message, short and printable."""
    line = (str(problem).strip().splitlines() or ["no reason given"])[-1]
    return "".join(c if c.isprintable() else "?" for c in line)[:200].rstrip(".")


def interpreter(model: bytes, *, optimised: bool = False) -> Any:
    """TensorFlow Lite's interpreter with all tensors allocated and kept.

    optimised: with its default kernels instead of the reference kernels. Raises BadModel where the
    interpreter refuses the model.
    """
    try:
        loaded = verified(model, optimised=optimised)
        with silenced_stderr():
            loaded.allocate_tensors()
    except (ValueError, RuntimeError) as problem:
        raise BadModel(f"TensorFlow Lite cannot load the model: {reason(problem)}") from problem
    return loaded


def verified(model: bytes, *, optimised: bool = False) -> Any:
    """The same without tensors; raises ValueError where TensorFlow Lite refuses the file."""
    lite = tensorflow().lite
    kinds = lite.experimental.OpResolverType
    with warnings.catch_warnings(), silenced_stderr():
        warnings.simplefilter("ignore")  # TensorFlow announces a move to another package
        return lite.Interpreter(
            model_content=bytes(model),
            experimental_op_resolver_type=kinds.AUTO if optimised else kinds.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
        )

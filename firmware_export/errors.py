"""What can go wrong between a frozen graph and a proven firmware.

ExportError
├── BadModel      the input cannot be used: a graph, a model, labels, features (exit 2)
├── BadOutput     the output folder exists already, or its disk is full (exit 2)
├── DoesNotFit    more flash or RAM than the chip has (exit 4)
├── Mismatch      the firmware answers otherwise than the interpreter (exit 4)
└── ToolMissing   a compiler or a package is not installed (exit 1)

Each message is one sentence for a person: what is wrong, where, and what would be right.
"""


class ExportError(Exception):
    """Any failure that a person can act upon; other exceptions are our own mistakes."""

    exit_code = 1


class BadModel(ExportError):
    exit_code = 2


class BadOutput(ExportError):
    exit_code = 2


class DoesNotFit(ExportError):
    exit_code = 4


class Mismatch(ExportError):
    exit_code = 4


class ToolMissing(ExportError):
    exit_code = 1

"""What can go wrong between a frozen graph and a proven firmware.

ExportError
├── BadModel      the input cannot be used: a graph, a model, labels, features (exit 2)
├── BadOutput     the output folder exists already, or its disk is full (exit 2)
├── DoesNotFit    the firmware needs more flash or RAM than the chip has (exit 4)
├── Mismatch      the firmware and TensorFlow Lite's interpreter give different scores (exit 4)
└── ToolMissing   a compiler or a package is not installed (exit 1)
"""


class ExportError(Exception):
    """An error for the user; any other exception is a defect of this package.

    The message says what is wrong, where, and what would be right: lower case, no full stop.
    `hint`: what to do next, or empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


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

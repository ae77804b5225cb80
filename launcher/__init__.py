"""One command from spoken words to firmware on a microcontroller."""

__version__ = "0.1.0"

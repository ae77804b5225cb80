"""The trainer. Importing any part of it pins NumPy and TensorFlow, see processor.py."""

from vm_startup import processor

processor.pin()

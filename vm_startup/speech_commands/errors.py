"""The one error that the speech_commands modules raise for the person at the keyboard."""


class DataError(ValueError):
    """Something in the data or the flags is wrong: one sentence with what, where and what would be right."""

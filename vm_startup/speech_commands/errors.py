"""The one error that the speech_commands modules raise for the person at the keyboard."""


class DataError(ValueError):
    """Data or flags are wrong; one sentence says what, where, and what would be right."""

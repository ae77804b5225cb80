"""The error that the speech_commands modules raise for the user."""


class DataError(ValueError):
    """Data or flags are wrong; one sentence: what is wrong, where, and what would be right."""

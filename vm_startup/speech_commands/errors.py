"""The error that the speech_commands modules raise for the user."""


class DataError(ValueError):
    """Data or flags are wrong.

    The message is one sentence in lower case without a full stop: what is wrong, where, and what
    would be right.
    """

"""The command `launcher`, also as `python -m launcher`."""

from launcher import interrupts


def main() -> None:
    """Load the command, then run it. A Ctrl-C waits until it is loaded: what was loaded by half
    could not say what is still being paid for."""
    interrupts.handle_signals()
    interrupted = False
    try:
        with interrupts.deferred(interrupts.NEVER):
            from launcher import cli
    except KeyboardInterrupt:
        interrupted = True
    cli.main(interrupted)


if __name__ == "__main__":
    main()

"""The launcher as a command in a folder."""

import os
import subprocess
import sys
from pathlib import Path

QUICKSTART = str(Path(__file__).parents[2] / "configs" / "quickstart.toml")
LAUNCHER = [sys.executable, "-c", "from launcher.cli import main; main()"]


def launcher(folder, *arguments, **variables):
    """Run the launcher in `folder`, with environment variables: a CompletedProcess with text."""
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), **variables}
    return subprocess.run(
        [*LAUNCHER, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )

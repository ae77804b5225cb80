"""python -m leak_cells SOCKET: the fork server as a program."""

import sys
from pathlib import Path

from leak_cells.fork_server import serve

serve(Path(sys.argv[1]), sys.argv[2:])

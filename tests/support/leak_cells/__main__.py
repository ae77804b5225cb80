"""python -m leak_cells SOCKET: the nursery as a program."""

import sys
from pathlib import Path

from leak_cells.nursery import serve

serve(Path(sys.argv[1]), sys.argv[2:])

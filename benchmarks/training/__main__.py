"""Measure training: speed, accuracy, size.

    python benchmarks/training FOLDER              every part
    python benchmarks/training FOLDER steps        one or more of them

FOLDER holds recordings as Speech Commands lays them out. Every figure is printed beside its goal;
every ratio is of one run on one machine. The parts are the other files of this folder.
"""

import argparse
import importlib
from pathlib import Path

PARTS = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def main() -> None:
    parser = argparse.ArgumentParser("benchmarks/training", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="recordings, one sub-folder of WAVs per word")
    parser.add_argument("part", nargs="*", help=f"one or more of {', '.join(PARTS)}; default: all")
    chosen = parser.parse_args()
    if unknown := set(chosen.part) - set(PARTS):
        parser.error(
            f"no part is called {', '.join(sorted(unknown))}: choose of {', '.join(PARTS)}"
        )
    if not chosen.folder.is_dir():
        parser.error(f"the folder {chosen.folder} does not exist")
    for part in chosen.part or PARTS:
        print(f"== {part} ==", flush=True)
        importlib.import_module(part).run(chosen.folder.resolve())


if __name__ == "__main__":
    main()

"""The lists of splits beside Speech Commands: `validation_list.txt` and `testing_list.txt`.

TensorFlow's trainer does not read them: it hashes the file's name (`which_set`), and at 10 % and
10 % that gives the same splits. TensorFlow Datasets reads them, and takes what no list names for
training. Lists that agree with the hash are left to the hash, so that other percentages and
recordings that are added later work. Others were made in another way, and are followed.
"""

import posixpath

from vm_startup.speech_commands.layouts.file_finder import Finder
from vm_startup.speech_commands.layouts.file_tree import Tree
from vm_startup.speech_commands.layouts.naming import SPLIT_LISTS
from vm_startup.speech_commands.layouts.path_labels import Labels
from vm_startup.speech_commands.speaker_splits import TRAINING, which_set


def follow_lists(tree: Tree, found: Labels) -> None:
    """Give labels the splits of the lists, and say what was done.

    A recording that no list names is for training if its folder has one that is. One that both
    lists name is not used.
    """
    splits, both, missing = _read(tree, found)
    lists = ", ".join(tree.split_lists)
    if missing:
        found.remarks.append(f"{lists}: lines that name no recording here: {missing:,}")
    for path in both:
        found.ignored.append((path, f"{lists} contradict each other"))
        del found.labels[path], splits[path]
    if all(which_set(posixpath.basename(path), 10, 10) == split for path, split in splits.items()):
        if splits:
            found.remarks.append(f"{lists}: the same splits as the names' hash at 10 % and 10 %")
        return
    folders = {posixpath.dirname(path) for path in splits}
    for name, label in found.labels.items():
        if posixpath.dirname(name) in folders:
            found.labels[name] = label._replace(split=splits.get(name, TRAINING))
    found.used += tree.split_lists
    found.remarks.append(f"splits are those of {lists}")


def _read(tree: Tree, found: Labels) -> tuple[dict[str, str], set[str], int]:
    """The split of each recording with a label, those that two lists name, and the number of lines
    that name none."""
    splits: dict[str, str] = {}
    both: set[str] = set()
    missing = 0
    finder = Finder(tree)
    for name in tree.split_lists:
        folder, file = posixpath.split(name)
        bases = finder.bases(folder)
        for line in (tree.root / name).read_text("utf-8-sig", "surrogateescape").split("\n"):
            path = finder.find(bases, line.strip())[0] if line.strip() else ""
            if path not in found.labels:
                missing += bool(line.strip())
            elif splits.setdefault(path, SPLIT_LISTS[file]) != SPLIT_LISTS[file]:
                both.add(path)
    return splits, both, missing

"""The lists of splits beside Speech Commands: `validation_list.txt` and `testing_list.txt`.

TensorFlow's trainer does not read them: it hashes the file's name (`which_set`), and at 10 % and
10 % that gives the same splits. TensorFlow Datasets reads them, and takes what no list names for
training. Lists that agree with the hash are left to the hash, so that other percentages and
recordings that are added later work. Others were made in another way, and are followed.
"""

import posixpath

from vm_startup.speech_commands.layouts.file_tree import Tree
from vm_startup.speech_commands.layouts.naming import SPLIT_LISTS
from vm_startup.speech_commands.layouts.path_labels import Labels
from vm_startup.speech_commands.speaker_splits import TRAINING, which_set


def follow_lists(tree: Tree, found: Labels) -> None:
    """Give labels the splits of the lists, and say what was done.

    A recording that no list names is for training if its folder has one that is.
    """
    splits: dict[str, str] = {}
    missing = 0
    for name in tree.split_lists:
        folder, file = posixpath.split(name)
        for line in (tree.root / name).read_text("utf-8", "surrogateescape").split("\n"):
            path = posixpath.join(folder, line.strip())
            if path in found.labels:
                splits[path] = SPLIT_LISTS[file]
            elif line.strip():
                missing += 1
    lists = ", ".join(tree.split_lists)
    if missing:
        found.remarks.append(f"{lists}: lines that name no recording here: {missing:,}")
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

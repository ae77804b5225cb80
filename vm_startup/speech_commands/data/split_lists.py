"""The lists of splits beside Speech Commands: `validation_list.txt` and `testing_list.txt`.

TensorFlow's trainer does not read them: it hashes the file's name (`which_set`), and at 10 % and
10 % that gives the same splits. TensorFlow Datasets reads them, and takes what no list names for
training. Lists that agree with the hash are left to the hash, so that other percentages and
recordings that are added later work. Others were made in another way, and are followed.
"""

import posixpath

from vm_startup.speech_commands.data.file_tree import Tree
from vm_startup.speech_commands.data.naming import SPLIT_LISTS, Label
from vm_startup.speech_commands.data.speaker_splits import TRAINING, which_set


def listed_splits(tree: Tree, labels: dict[str, Label]) -> list[str]:
    """Give labels the splits of the lists; what people should know of it.

    A recording that no list names is for training if its folder has one that is.
    """
    splits: dict[str, str] = {}
    missing = 0
    for name in tree.split_lists:
        folder, file = posixpath.split(name)
        for line in (tree.root / name).read_text("utf-8", "surrogateescape").split("\n"):
            path = posixpath.join(folder, line.strip())
            if path in labels:
                splits[path] = SPLIT_LISTS[file]
            elif line.strip():
                missing += 1
    if not splits:
        return []
    lists = ", ".join(tree.split_lists)
    remarks = [f"{lists}: {missing:,} lines name no recording here"] if missing else []
    if all(which_set(posixpath.basename(path), 10, 10) == split for path, split in splits.items()):
        return [*remarks, f"{lists}: the same splits as the names' hash at 10 % and 10 %"]
    folders = {posixpath.dirname(path) for path in splits}
    for name, label in labels.items():
        if posixpath.dirname(name) in folders:
            labels[name] = label._replace(split=splits.get(name, TRAINING))
    return [*remarks, f"splits are those of {lists}"]

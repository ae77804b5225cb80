"""Retraining: a model's next version is trained, compared with the one in use, and takes its place
only where it has earned it.

    models/NAME/history.jsonl    every retraining; locked while one is going
    models/NAME/held_out.npz     the clips that versions are compared on; they only grow
    models/NAME/clips/           what lay in the data's folder at the last retraining
    models/NAME/vN/              a version: never changed, and there whole or not at all
    models/NAME/current          a link to the version in use, the champion
"""

"""Retraining: train a challenger, compare it with the champion, and promote it if it is better.

models/NAME/history.jsonl    every retraining; locked while one runs
models/NAME/held_out.npz     the clips that versions are compared on; clips are only added
models/NAME/recordings/      the list of recordings at the last retraining
models/NAME/vN/              a version: read-only, and complete as soon as it exists
models/NAME/current          a link to the version in use, the champion
"""

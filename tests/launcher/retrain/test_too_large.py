"""A challenger that does not fit the chip."""

import shutil

import numpy as np
from leak_cells.injection import install
from workspace import QUICKSTART

from launcher.console import Screen
from launcher.jobs import control
from launcher.retrain import pipeline


def test_challenger_that_does_not_fit_fails_before_comparison(finished, here, monkeypatch):
    """Its job fails with the number of bytes and exit code 4; it gets no version, no held-out clip
    is stored, and no machine is left."""
    past = here / "past"
    shutil.copytree(finished[0], past)
    (graph,) = past.glob("*.pb")
    graph.write_bytes(large_graph())
    monkeypatch.setattr(control, "make_plan", control.make_plan)  # so that it is put back
    install(reference=str(past))
    done = pipeline.retrain(QUICKSTART, screen=Screen())
    assert (done["verdict"], done["exit_code"], done["version"]) == ("failed", 4, "")
    assert "bytes" in done["error"] and done["comparison"] == {}
    assert sorted(path.name for path in (here / "models" / "quickstart").iterdir()) == [
        *("history.jsonl", "recordings")
    ]
    assert list((here / "state-home").glob("*/machines/*")) == []


def large_graph():
    """A frozen graph of two dense layers whose weights alone take 78,400 bytes of flash."""
    import tensorflow as tf

    rng = np.random.default_rng(1)
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 1960], name="fingerprint_input")
        x = tf.reshape(tf.reshape(x, [-1, 1960]), [-1, 1960])
        for shape in ((1960, 40), (40, 4)):
            x = tf.matmul(x, tf.constant(rng.normal(0, 0.01, shape), tf.float32))
        tf.nn.softmax(x, name="labels_softmax")
    return graph.as_graph_def().SerializeToString()

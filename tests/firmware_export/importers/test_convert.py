"""Frozen graph → .tflite with TensorFlow's own converter."""

import numpy as np
import pytest

from firmware_export import quiet_tensorflow
from firmware_export.errors import BadModel
from firmware_export.importers.convert import convert
from firmware_export.verify import evaluate, reference
from vm_startup.speech_commands import evaluate_graph

GRAPHS = {
    "ours": {},
    "depthwise": {"depthwise": True},
    "input without fake-quant": {"input_fake_quant": False},
    "flat Reshape_1": {"flat_input": True},
    "uneven weight ranges": {"weight_range": (-1.0, 1.4), "narrow": False},
    "frozen by TensorFlow 1": {"read_nodes": True, "weight_range": (-1.4, 1.0), "flat_input": True},
    "average": {"preprocess": "average"},
    "fed with features": {"preprocess": "none"},
    "six words": {"labels": 8},
}


@pytest.fixture(scope="session")
def our_graph():
    """our_graph(preprocess, quantize) → a graph from this project's own freeze, weights random."""
    from vm_startup.speech_commands import freeze
    from vm_startup.speech_commands.audio_settings import AudioSettings
    from vm_startup.speech_commands.model import networks

    def build(preprocess, quantize):
        settings = AudioSettings(preprocess=preprocess, window_stride_ms=20.0)
        values = networks.initial(settings, label_count=4, seed=1)
        ranges = {"relu_max": 5.0, "logits_min": -2.0, "logits_max": 2.0}
        values.update({name: np.float32(value) for name, value in ranges.items()})
        graph_def = freeze.inference_graph(values, settings, quantize)
        return graph_def.SerializeToString(deterministic=True)

    return build


def ends(model):
    loaded = quiet_tensorflow.interpreter(model)
    return loaded.get_input_details()[0], loaded.get_output_details()[0]


@pytest.mark.parametrize("inference", ["int8", "uint8"])
@pytest.mark.parametrize("choices", GRAPHS.values(), ids=GRAPHS)
def test_model_agrees_with_fake_quant_graph(keyword_graph, features, choices, inference):
    """At least 99 % of the clips get the same label from the .tflite as from the frozen graph."""
    if choices.get("preprocess") == "average":
        features = np.tile(features, 2)[:, :2107] * 4
    graph = keyword_graph(**choices)
    model = convert(graph, inference)
    expected = evaluate.run_graph(graph, features).argmax(axis=1)
    assert len(set(expected)) > 1
    assert (reference.run(model, features).argmax(axis=1) == expected).mean() >= 0.99


@pytest.mark.parametrize("inference, zero_point", [("int8", -128), ("uint8", 0)])
@pytest.mark.parametrize("input_fake_quant", [True, False])
@pytest.mark.parametrize(
    "preprocess, shape, scale",
    [("micro", [1, 49, 40, 1], np.float32(26 / 255)), ("average", [1, 49, 43, 1], 0.5)],
)
def test_input_and_output_scales_are_those_of_training(
    keyword_graph, preprocess, shape, scale, input_fake_quant, inference, zero_point
):
    """Input and output have the recipe's shape, type, scale and zero point, exactly."""
    graph = keyword_graph(preprocess=preprocess, input_fake_quant=input_fake_quant)
    source, answer = ends(convert(graph, inference))
    assert source["shape"].tolist() == shape
    assert source["dtype"] == answer["dtype"] == np.dtype(inference)
    assert source["quantization"] == (scale, zero_point)
    assert answer["quantization"] == (1 / 256, zero_point)


@pytest.mark.parametrize("quantize", [True, False])
@pytest.mark.parametrize(
    "preprocess, shape, scale, zero_point",
    [
        ("micro", (49, 40), 26 / 255, -128),
        ("average", (49, 43), 0.5, -128),
        ("mfcc", (49, 40), 277 / 255, 99),
    ],
)
def test_graph_of_our_freeze_converts(our_graph, preprocess, shape, scale, zero_point, quantize):
    """Graphs of this project's freeze convert, and the input has the scale of its front end."""
    clips = np.random.default_rng(1).random((20, shape[0] * shape[1]), np.float32) * 25
    model = convert(our_graph(preprocess, quantize), features=None if quantize else clips)
    source = ends(model)[0]
    assert tuple(source["shape"]) == (1, *shape, 1)
    assert source["quantization"] == (np.float32(scale), zero_point)


def test_uint8_gives_the_integers_of_int8(keyword_graph, features):
    """Each score of the uint8 model is 128 more than that of the int8 model."""
    graph = keyword_graph()
    signed = reference.run(convert(graph, "int8"), features).astype(int)
    assert np.array_equal(signed + 128, reference.run(convert(graph, "uint8"), features))


def test_int8_weights_have_zero_point_0(keyword_graph):
    """Uneven weight ranges become symmetric ones, which int8 kernels need."""
    model = convert(keyword_graph(weight_range=(-1.0, 1.4), narrow=False))
    weights = [
        t
        for t in quiet_tensorflow.interpreter(model).get_tensor_details()
        if np.prod(t["shape"]) > 500
    ]
    inner = [t for t in weights if t["shape"][0] > 1]
    assert inner and all(tensor["quantization"][1] == 0 for tensor in inner)


def test_same_graph_gives_the_same_bytes(keyword_graph):
    """Conversion is repeatable, for any order of the graph's nodes."""

    def reverse(graph_def):
        nodes = list(graph_def.node)[::-1]
        del graph_def.node[:]
        graph_def.node.extend(nodes)

    first = convert(keyword_graph())
    assert first == convert(keyword_graph()) == convert(keyword_graph(mutate=reverse))


@pytest.mark.parametrize("inference, zero_point", [("int8", -128), ("uint8", 0)])
def test_float_graph_is_calibrated_on_features(keyword_graph, features, inference, zero_point):
    """A graph trained without fake-quant is quantised from features, with the same input scale."""
    graph = keyword_graph(fake_quant=False)
    model = convert(graph, inference, features[:100])
    source, answer = ends(model)
    assert source["quantization"] == (np.float32(26 / 255), zero_point)
    assert source["dtype"] == answer["dtype"] == np.dtype(inference)
    expected = evaluate.run_graph(graph, features).argmax(axis=1)
    assert (reference.run(model, features).argmax(axis=1) == expected).mean() >= 0.99


def test_float_graph_without_features_is_refused(keyword_graph):
    """Without features a graph without fake-quant nodes is refused, and the hint asks for them."""
    with pytest.raises(BadModel, match="no fake-quant nodes") as caught:
        convert(keyword_graph(fake_quant=False))
    assert "--features" in caught.value.hint


def test_partly_float_model_is_refused(keyword_graph):
    """A graph whose last layers have no fake-quant nodes is refused."""

    def bypass(graph_def):
        softmax = next(node for node in graph_def.node if node.name == "labels_softmax")
        last = next(node for node in graph_def.node if node.name == softmax.input[0])
        softmax.input[0] = last.input[0]

    with pytest.raises(BadModel, match="stayed float") as caught:
        convert(keyword_graph(mutate=bypass))
    assert "--quantize=1" in caught.value.hint


def test_unknown_inference_type_is_refused(keyword_graph):
    """Only int8 and uint8 exist."""
    with pytest.raises(BadModel, match="'float16' is unknown"):
        convert(keyword_graph(), "float16")


def test_graph_without_rounding_equals_graph_without_fake_quant(keyword_graph, features):
    """Without its rounding a graph gives the scores of one that never had a fake-quant node."""
    graph = quiet_tensorflow.tensorflow().compat.v1.GraphDef.FromString(keyword_graph())
    plain = evaluate_graph.without_rounding(graph).SerializeToString()
    exact = evaluate.run_graph(plain, features[:20])
    assert np.array_equal(exact, evaluate.run_graph(keyword_graph(fake_quant=False), features[:20]))
    assert not np.array_equal(exact, evaluate.run_graph(keyword_graph(), features[:20]))


def test_graph_that_cannot_run_is_refused(keyword_graph, features):
    """An error that TensorFlow finds only when it computes is refused with the node's name."""

    def dilate(graph_def):
        layer = next(node for node in graph_def.node if node.op == "Conv2D")
        layer.attr["dilations"].list.i[:] = [2, 1, 1, 1]

    with pytest.raises(BadModel, match="cannot run the graph: it failed at node"):
        evaluate.run_graph(keyword_graph(mutate=dilate), features[:1])


def test_accuracy_counts_labelled_clips_only():
    """Clips with a label below 0 do not count, and no labelled clip means no accuracy."""
    scores = np.array([[0, 9], [9, 0], [0, 9], [0, 9]])
    assert evaluate.accuracy(scores, [1, 1, -1, 1]) == pytest.approx(2 / 3)
    assert evaluate.accuracy(scores, [-1] * 4) is None


def test_features_of_another_size_are_refused(keyword_graph):
    """Features that do not fit the model's input are refused with both sizes."""
    with pytest.raises(BadModel, match=r"\(3, 100\); expected 1960"):
        evaluate.run_graph(keyword_graph(), np.zeros((3, 100), np.float32))

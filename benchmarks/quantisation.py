"""The accuracy of the float graph and of its .tflite on a job's test clips.

    python benchmarks/quantisation.py runs/JOB

Exits with 1 if the .tflite is more than one point worse than the graph without fake-quant nodes.
"""

import sys
from pathlib import Path

from firmware_export import clips
from firmware_export import folder as folders
from firmware_export.verify import evaluate, reference
from vm_startup.speech_commands import evaluate_graph

MOST_LOST = 0.01


def main(folder: Path) -> int:
    known = clips.load(folder / folders.FEATURES)
    labelled = known.labels >= 0
    features, labels = known.features[labelled], known.labels[labelled]
    graph, model = folders.graph_path(folder), folders.read_model(folder)
    exact = evaluate_graph.without_rounding(evaluate_graph.read(graph))
    scores = {
        "float graph": evaluate.run_graph(exact.SerializeToString(), features),
        "with fake-quant": evaluate.run_graph(graph.read_bytes(), features),
        ".tflite": reference.run(model, features),
    }
    found = {name: evaluate.accuracy(answers, labels) for name, answers in scores.items()}
    print(f"{folder}: {len(labels)} labelled clips")
    for name, accuracy in found.items():
        print(f"  {name:16} {accuracy:7.2%}")
    same = (scores["float graph"].argmax(axis=1) == scores[".tflite"].argmax(axis=1)).mean()
    lost = found["float graph"] - found[".tflite"]
    print(f"  {'same label':16} {same:7.2%}")
    print(f"  {'lost':16} {lost * 100:+.2f} points, at most {MOST_LOST * 100:.0f} allowed")
    return int(lost > MOST_LOST)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

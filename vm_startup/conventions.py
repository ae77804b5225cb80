"""What the launcher, the trainer and the exporter agree on: units, labels, ranges, file names, log
lines. Nothing is imported here, so that each of the three can import it in no time."""

SAMPLE_RATE = 16_000  # Hz; a clip is one second
CLIP_SAMPLES = SAMPLE_RATE

SILENCE, UNKNOWN = "_silence_", "_unknown_"  # the first two labels of every trained model
BACKGROUND_NOISE = "_background_noise_"  # the folder of noises among the folders of words

# The feature values that the ends of the 8-bit grid stand for, by kind of features. Source:
# TensorFlow's speech_commands/models.py; 26 is 255 / 9.8077.
FEATURE_RANGES = {"micro": (0.0, 26.0), "average": (0.0, 127.5), "mfcc": (-247.0, 30.0)}

# Speech Commands, by version.
ARCHIVES = {
    version: "https://storage.googleapis.com/download.tensorflow.org/data/"
    f"speech_commands_{version}.tar.gz"
    for version in ("v0.01", "v0.02")
}

LABELS_FILE = "labels.txt"
METRICS_FILE = "metrics.json"
TEST_FEATURES_FILE = "test_features.npz"


def phase_line(phase: str) -> str:
    """The line in a job's log that opens a phase."""
    return f"== {phase} =="


def processor_line(processor: str) -> str:
    """What a trainer logs about the processor that it computes with."""
    return f"Processor: {processor}"


def checkpoint_line(prefix: str) -> str:
    """What a trainer logs once the checkpoint `prefix` can be pulled; TensorFlow's own words."""
    return f'Saving to "{prefix}"'

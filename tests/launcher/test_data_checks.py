import pytest
from command import QUICKSTART, launcher
from recordings import write_wav


@pytest.fixture
def clips(tmp_path):
    """A folder with two words of four speakers each."""
    folder = tmp_path / "clips"
    for word in ("yes", "no"):
        for speaker in "abcd":
            write_wav(folder / word / f"{speaker}_nohash_0.wav")
    return folder


def cut(path):
    path.write_bytes(path.read_bytes()[:1000])


HARMS = {
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "truncated": (cut, "is truncated"),
    "of 8 kHz": (lambda path: write_wav(path, rate=8000), "8,000 Hz"),
    "text": (lambda path: path.write_text("not a recording"), "text"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_bad_recording_is_named_before_job(tmp_path, clips, harm):
    """One bad file among good ones is left out, and the plan names it with its reason."""
    make, says = HARMS[harm]
    make(clips / "no" / "c_nohash_0.wav")
    done = launcher(tmp_path, "plan", QUICKSTART, f"--set=data.folder={clips}")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("left out")]
    assert line.startswith("left out (1): no/c_nohash_0.wav: ")
    assert says in line


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("['yes', 'Yes']", "case"),
        ("['yes; rm -rf /']", "yes; rm -rf /"),
        ("['$(id)']", "$(id)"),
        ("['../yes']", "../yes"),
        ("['yes,no']", "yes,no"),
        ("['_silence_']", "_silence_"),
        ("['']", "word"),
        ("[]", "word"),
    ],
)
def test_bad_word_is_refused(tmp_path, wanted, says):
    """Words that differ only by case, or could do harm in a shell or a path, are refused."""
    done = launcher(tmp_path, "train", QUICKSTART, "--set", f"words.wanted={wanted}")
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[0]
    assert not (tmp_path / "runs").exists()


def test_missing_word_folder_names_the_nearest(tmp_path, clips):
    """A wanted word that has no folder is refused with the folder that resembles it."""
    (clips / "yes").rename(clips / "yess")
    done = launcher(tmp_path, "plan", QUICKSTART, f"--set=data.folder={clips}")
    assert done.returncode == 2
    assert "yess" in done.stderr


def test_too_few_speakers_are_refused_before_job(tmp_path, clips):
    """Recordings that leave no speaker to test on are refused before anything is made."""
    arguments = (f"--set=data.folder={clips}", "--set=data.synthetic_clips=0")
    done = launcher(tmp_path, "train", QUICKSTART, *arguments)
    assert done.returncode == 2
    assert "4 speakers" in done.stderr
    assert not (tmp_path / "runs").exists()

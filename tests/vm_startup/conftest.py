import pytest
import tiny_training


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """A folder of recordings."""
    folder = tmp_path_factory.mktemp("recordings")
    tiny_training.record(folder)
    return folder


@pytest.fixture(scope="session")
def trained(recordings, tmp_path_factory):
    """The folder and the log of an uninterrupted training."""
    folder = tmp_path_factory.mktemp("trained")
    code, out, err = tiny_training.run(recordings, folder)
    assert code == 0, err
    return folder, out

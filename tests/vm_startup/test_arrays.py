import hashlib
import io

import numpy as np

from vm_startup.arrays import packed

ARRAYS = {
    "features": np.arange(6, dtype=np.float32).reshape(2, 3),
    "names": np.array(["a", "ü"]),
    "format": 1,
}


def test_archive_has_the_same_bytes_from_every_python():
    """The archive has its known digest, which np.savez gives in some versions of Python only."""
    content = packed(**ARRAYS)
    digest = hashlib.sha256(content).hexdigest()
    assert digest == "00d11d992532846e8db29c35fe25391cf098a99f331b87c4980a8f6c3bfaab0e"


def test_archive_is_read_by_numpy():
    """np.load gives the same arrays, without pickle."""
    with np.load(io.BytesIO(packed(**ARRAYS)), allow_pickle=False) as read:
        assert list(read) == list(ARRAYS)
        assert all(np.array_equal(read[name], array) for name, array in ARRAYS.items())
        assert read["features"].dtype == np.float32

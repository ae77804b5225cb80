"""The archive is downloaded from a real server and unpacked safely."""

import hashlib
import http.server
import io
import tarfile
import threading

import numpy as np
import pytest

from vm_startup.speech_commands import flags as command_line
from vm_startup.speech_commands.data import archive
from vm_startup.speech_commands.data.clip_store import store
from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.sound import sound_file
from vm_startup.speech_commands.sources import open_sources


def packed(members):
    """A tar.gz of (name, content) pairs; a TarInfo in place of a name is taken as it is."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def recording(tmp_path, seed):
    """A WAV file's bytes: noise, so that it does not compress away."""
    noise = np.random.default_rng(seed).integers(-3000, 3000, 16_000)
    sound_file.write(tmp_path / "made.wav", noise)
    return (tmp_path / "made.wav").read_bytes()


class Server:
    """Serves one file over HTTP, with faults that a test sets."""

    def __init__(self):
        self.data = b""
        self.ranges = True  # whether Range is honoured
        self.cut_after = []  # bytes after which the next connections are closed
        self.status = 200
        self.requests = []  # the Range header of each
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/words.tar.gz"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler):
        wanted = handler.headers.get("Range")
        self.requests.append(wanted)
        if self.status != 200:
            handler.send_error(self.status)
            return
        start = int(wanted[6:].rstrip("-")) if wanted and self.ranges else 0
        if start and start >= len(self.data):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        if start:
            total = len(self.data)
            handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        handler.send_header("Content-Length", str(len(self.data) - start))
        handler.end_headers()
        end = start + self.cut_after.pop(0) if self.cut_after else len(self.data)
        handler.wfile.write(self.data[start:end])

    @property
    def sha256(self):
        return hashlib.sha256(self.data).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(archive, "PAUSE", 0)
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def words(tmp_path, server):
    """The files of an archive: two words, and what comes along in Speech Commands."""
    names = [f"{word}/{speaker}_nohash_0.wav" for word in ("yes", "no") for speaker in (1, 2)]
    clips = {name: recording(tmp_path, seed) for seed, name in enumerate(names)}
    files = clips | {"README.md": b"about", "testing_list.txt": b"", "yes/notes.txt": b"no clip"}
    server.data = packed([(f"./{name}", data) for name, data in files.items()])
    return files


def unpacked(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_archive_is_downloaded_verified_and_unpacked_once(tmp_path, server, words):
    """All files are unpacked, nothing else stays in the cache, and a second call downloads
    nothing."""
    calls = []
    cache = tmp_path / "cache"
    folder = archive.fetch(server.url, server.sha256, cache, lambda *c: calls.append(c))
    assert unpacked(folder) == words
    assert {path.name for path in cache.iterdir()} == {folder.name, "lock"}
    assert archive.fetch(server.url, server.sha256, cache) == folder
    assert server.requests == [None]


def test_archive_progress_is_in_megabytes_and_ends_at_the_total(tmp_path, server):
    """Downloading, verifying and unpacking each report their last megabyte."""
    noise = np.random.default_rng(1).bytes(3_000_000)
    server.data = packed([("yes/1.wav", noise)])
    calls = []
    archive.fetch(server.url, server.sha256, tmp_path / "c", lambda *c: calls.append(c))
    for what in ("Downloading MB", "Verifying MB", "Unpacking MB"):
        assert [call for call in calls if call[0] == what][-1] == (what, 3, 3)


def test_interrupted_download_resumes(tmp_path, server, words):
    """Each new connection requests only the rest."""
    server.cut_after = [1000, 500]
    folder = archive.fetch(server.url, server.sha256, tmp_path / "c")
    assert unpacked(folder) == words
    assert server.requests == [None, "bytes=1000-", "bytes=1500-"]


def test_failed_download_resumes_in_a_later_call(tmp_path, server, words):
    """The downloaded part is kept after a failure, and the message says how to continue."""
    server.cut_after = [1000] + [0] * archive.ATTEMPTS
    with pytest.raises(DataError, match="run again to continue after 1,000 bytes"):
        archive.fetch(server.url, server.sha256, tmp_path / "c")
    server.requests.clear()
    assert unpacked(archive.fetch(server.url, server.sha256, tmp_path / "c")) == words
    assert server.requests == ["bytes=1000-"]


def test_download_restarts_if_the_server_ignores_ranges(tmp_path, server, words):
    """The whole file is downloaded again and replaces the first part."""
    server.ranges = False
    server.cut_after = [1000]
    assert unpacked(archive.fetch(server.url, server.sha256, tmp_path / "c")) == words


def test_complete_download_is_not_repeated(tmp_path, server, words):
    """A process killed between downloading and unpacking costs no second download."""
    cache = tmp_path / "c"
    cache.mkdir()
    part = cache / f"speech_commands-{server.sha256[:16]}.tar.gz.part"
    part.write_bytes(server.data)
    assert unpacked(archive.fetch(server.url, server.sha256, cache)) == words
    assert server.requests == [f"bytes={len(server.data)}-"]


def test_part_of_another_file_is_replaced(tmp_path, server, words):
    """Junk in the cache is downloaded again and not trusted."""
    cache = tmp_path / "c"
    cache.mkdir()
    (cache / f"speech_commands-{server.sha256[:16]}.tar.gz.part").write_bytes(b"junk" * 100)
    assert unpacked(archive.fetch(server.url, server.sha256, cache)) == words


def test_archive_with_wrong_digest_is_refused(tmp_path, server, words):
    """Nothing of the archive is unpacked or kept."""
    with pytest.raises(DataError, match=f"SHA-256 is {server.sha256}, not {'0' * 64}"):
        archive.fetch(server.url, "0" * 64, tmp_path / "c")
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["lock"]


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (503, archive.ATTEMPTS)])
def test_http_error_is_reported(tmp_path, server, status, tries):
    """A missing file is requested once; a server error is retried a few times."""
    server.status = status
    with pytest.raises(DataError, match=f"cannot be downloaded.*{status}"):
        archive.fetch(server.url, "0" * 64, tmp_path / "c")
    assert len(server.requests) == tries


def test_unreachable_server_is_reported(tmp_path, monkeypatch):
    """A refused connection is one sentence too."""
    monkeypatch.setattr(archive, "PAUSE", 0)
    with pytest.raises(DataError, match="cannot be downloaded.*refused"):
        archive.fetch("http://127.0.0.1:9/words.tar.gz", "0" * 64, tmp_path / "c")


def special(kind, name="yes/link.wav", target="/etc/passwd"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


UNSAFE = {
    "parent": ([("../outside.wav", b"x")], "leads out of its folder"),
    "hidden parent": ([("yes/../../outside.wav", b"x")], "leads out of its folder"),
    "parent as word": ([("a/../x.wav", b"x")], "leads out of its folder"),
    "absolute": ([("/tmp/outside.wav", b"x")], "leads out of its folder"),
    "symbolic link": ([(special(tarfile.SYMTYPE), b"")], "neither a plain file nor a folder"),
    "hard link": ([(special(tarfile.LNKTYPE), b"")], "neither a plain file nor a folder"),
    "device": ([(special(tarfile.CHRTYPE), b"")], "neither a plain file nor a folder"),
    "control characters": ([("yes/\x1b[2J.wav", b"x")], "neither a plain file"),
    "twice": ([("yes/1.wav", b"x"), ("./yes/1.wav", b"y")], "holds 'yes/1.wav' twice"),
    "nothing": ([], "has no file"),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_unsafe_archive_is_refused_as_a_whole(tmp_path, server, case):
    """Even with a correct digest, nothing is written outside and no folder remains."""
    members, reason = UNSAFE[case]
    server.data = packed([("yes/ok.wav", b"x"), *members] if case != "nothing" else members)
    with pytest.raises(DataError, match=reason) as caught:
        archive.fetch(server.url, server.sha256, tmp_path / "in" / "c")
    assert "\x1b" not in str(caught.value)
    assert not list(tmp_path.rglob("outside.wav"))
    assert not (tmp_path / "in" / "c" / f"speech_commands-{server.sha256[:16]}").exists()


def test_too_large_archive_is_refused(tmp_path, server, monkeypatch):
    """Members are counted and measured before they are written."""
    server.data = packed([("yes/1.wav", bytes(2000)), ("yes/2.wav", bytes(2000))])
    monkeypatch.setattr(archive, "MAX_UNPACKED", 3000)
    with pytest.raises(DataError, match="too large"):
        archive.fetch(server.url, server.sha256, tmp_path / "c")
    monkeypatch.setattr(archive, "MAX_UNPACKED", 5000)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 1)
    with pytest.raises(DataError, match="too large"):
        archive.fetch(server.url, server.sha256, tmp_path / "c")


@pytest.mark.parametrize(
    "data",
    [b"not a gzip file", packed([("yes/1.wav", bytes(9))])[:-20], b""],
    ids=["text", "cut off", "empty"],  # a gzip file holds the time: no name for a test
)
def test_broken_archive_is_refused(tmp_path, server, data):
    """A file with the right digest that is not a tar.gz is one sentence too."""
    server.data = data
    with pytest.raises(DataError, match="broken|no WAV"):
        archive.fetch(server.url, server.sha256, tmp_path / "c")


def test_upstream_archives_have_known_digests():
    """Their digests are pinned for every host; other archives need one."""
    name = "speech_commands_v0.02.tar.gz"
    for host in ("https://storage.googleapis.com/download.tensorflow.org/data", "http://mirror/x"):
        assert archive.check_url(f"{host}/{name}").startswith("af14739ee7dc3114")
    assert archive.check_url("https://a.b/c.tar.gz", "AB" * 32) == "ab" * 32


@pytest.mark.parametrize(
    ("url", "sha256", "reason"),
    [
        ("https://a.b/c.tar.gz", "", "give its --data_sha256"),
        ("https://a.b/c.tar.gz", "12ab", "64 hexadecimal digits"),
        ("file:///etc/passwd", "0" * 64, "not a web address"),
        ("speech_commands_v0.02.tar.gz", "", "not a web address"),
    ],
)
def test_url_without_digest_or_web_address_is_refused(url, sha256, reason):
    """Nothing is downloaded without a digest, and only from the web."""
    with pytest.raises(DataError, match=reason):
        archive.check_url(url, sha256)


def test_archive_is_opened_as_a_source(tmp_path, server, words):
    """The trainer's flags lead from a URL to clips whose source is the archive."""
    flags = [f"--data_url={server.url}", f"--data_sha256={server.sha256}"]
    (source,) = open_sources(
        command_line.trainer().parse_args([*flags, "--wanted_words=yes"]), tmp_path / "c"
    )
    stored = store(source, tmp_path / "c")
    survey = source.survey(stored.notes)
    recordings = sorted(name for name in words if name.endswith(".wav"))
    assert [clip.name for clip in survey.clips] == recordings
    assert {clip.source for clip in survey.clips} == {"archive"}
    assert {name for name, _ in survey.facts.left_out} == words.keys() - set(recordings)
    with pytest.raises(DataError, match="'maybe'"):
        open_sources(
            command_line.trainer().parse_args([*flags, "--wanted_words=maybe"]), tmp_path / "c"
        )

"""The Speech Commands archive, or another of its layout: downloaded, verified, unpacked.

What comes over the network is a stranger's data until its SHA-256 is known to be right, and even
then only WAV files come out of it, each to a place made of its own two last names.
"""

import fcntl
import hashlib
import http.client
import shutil
import ssl
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vm_startup.speech_commands.data.clip import Progress
from vm_startup.speech_commands.errors import DataError

KNOWN = {  # SHA-256 by file name, wherever it is downloaded from
    "speech_commands_v0.02.tar.gz": (
        "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"
    ),
    "speech_commands_v0.01.tar.gz": (
        "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d"
    ),
}

ATTEMPTS = 5  # connections in a row that bring no byte before a download is given up
PAUSE = 2  # seconds, longer after every attempt
TIMEOUT = 60  # seconds without a byte before a connection is dropped
LARGEST_DOWNLOAD = 16 << 30  # bytes
LARGEST_UNPACKED = 64 << 30  # bytes
MOST_MEMBERS = 1_000_000
NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ssl.SSLError,
    ConnectionError,
    TimeoutError,
)
_CHUNK = 1 << 20
_MEGABYTE = 1_000_000


def check_url(url: str, sha256: str = "") -> str:
    """The SHA-256 that the archive must have; DataError where the flags do not say."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DataError(f"--data_url {url} is no web address: it begins with https:// or http://.")
    digest = (sha256 or KNOWN.get(PurePosixPath(url).name, "")).lower()
    if not digest:
        raise DataError(f"--data_url {url} is not a known archive: give its --data_sha256 too.")
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise DataError(f"--data_sha256 {digest} is no SHA-256: it has 64 hexadecimal digits.")
    return digest


def fetch(url: str, sha256: str, cache_dir: Path | str, progress: Progress | None = None) -> Path:
    """The folder with the archive's word folders, in cache_dir; downloaded if it is not there.

    A download that was cut off goes on where it stopped, also in a later call. Raises DataError
    where the archive cannot be had, is another than was promised, or holds what it should not.
    """
    digest = check_url(url, sha256)
    cache = Path(cache_dir)
    folder = cache / f"speech_commands-{digest[:16]}"
    packed = cache / f"{folder.name}.tar.gz.part"
    report = _Throttle(progress)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two trainings may share a cache
            if not folder.is_dir():
                _download_verified(url, digest, packed, report)
                _unpack(packed, folder, report)
            packed.unlink(missing_ok=True)
    except OSError as error:  # the disk's: the network's are caught where they happen
        raise DataError(f"{cache} cannot hold the archive: {error.strerror or error}.") from error
    return folder


def _download_verified(url: str, digest: str, packed: Path, report: "_Throttle") -> None:
    """What is there already may be part of something else, so a wrong end is tried afresh once."""
    resumed = packed.exists()
    _download(url, packed, report)
    found = _digest(packed, report)
    if found != digest and resumed:
        packed.unlink()
        _download(url, packed, report)
        found = _digest(packed, report)
    if found != digest:
        packed.unlink()
        raise DataError(
            f"{url} is another archive than expected: its SHA-256 is {found} instead of {digest}."
        )


def _download(url: str, packed: Path, report: "_Throttle") -> None:
    """Append to `packed` until the server says that this was all."""
    failures = 0
    while True:
        before = _size(packed)
        try:
            if _download_once(url, packed, before, report):
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # nothing lies beyond what is here
                return
            if error.code < 500:
                raise DataError(f"{url} cannot be had: {error.code} {error.reason}.") from error
            reason = f"{error.code} {error.reason}"
        except NETWORK_ERRORS as error:
            reason = str(getattr(error, "reason", error))
        after = _size(packed)
        failures = 0 if after > before else failures + 1
        if failures == ATTEMPTS:
            raise DataError(
                f"{url} cannot be had ({reason}): run again to go on after {after:,} bytes."
            )
        time.sleep(PAUSE * failures)


def _download_once(url: str, packed: Path, have: int, report: "_Throttle") -> bool:
    """One connection; whether it brought the rest of the file."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        content_range = answer.headers.get("Content-Range", "")
        resumed = answer.status == 206 and content_range.startswith(f"bytes {have}-")
        done = have if resumed else 0  # a server that ignores ranges begins again
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length and length.isdigit() else 0
        with packed.open("ab" if resumed else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                if done > LARGEST_DOWNLOAD:
                    raise DataError(f"{url} is larger than {LARGEST_DOWNLOAD >> 30} GiB.")
                report("Downloading MB", done // _MEGABYTE, total // _MEGABYTE)
    return done >= total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest(packed: Path, report: "_Throttle") -> str:
    sha256, size = hashlib.sha256(), _size(packed)
    with packed.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            report("Verifying MB", file.tell() // _MEGABYTE, size // _MEGABYTE)
    return sha256.hexdigest()


def _unpack(packed: Path, folder: Path, report: "_Throttle") -> None:
    """Write the archive's WAV files as folder/WORD/NAME.wav, all of them or no folder at all."""
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    size = _size(packed)
    try:
        with packed.open("rb") as file, tarfile.open(fileobj=file, mode="r|gz") as tar:
            for member in _bounded(tar):
                if place := _place(member):
                    _write(tar, member, unfinished / place)
                report("Unpacking MB", file.tell() // _MEGABYTE, size // _MEGABYTE)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"the archive is broken: {error}.") from error
    if not any(unfinished.iterdir()):
        raise DataError("the archive holds no WAV file in a word's folder.")
    unfinished.rename(folder)


def _bounded(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members, until there are more of them or more bytes in them than is sane."""
    unpacked = 0
    for count, member in enumerate(tar):
        unpacked += member.size
        if count >= MOST_MEMBERS or unpacked > LARGEST_UNPACKED:
            raise DataError(
                f"the archive is too large: more than {MOST_MEMBERS:,} files "
                f"or {LARGEST_UNPACKED >> 30} GiB unpacked."
            )
        yield member


def _place(member: tarfile.TarInfo) -> PurePosixPath | None:
    """WORD/NAME.wav for a recording, None for what is not needed; DataError for what is hostile."""
    path = PurePosixPath(member.name)
    outside = path.is_absolute() or ".." in path.parts
    if outside or not member.name.isprintable() or not (member.isreg() or member.isdir()):
        kind = "leads out of its folder" if outside else "is neither a plain file nor a folder"
        raise DataError(f"the archive is refused: its member {member.name!r} {kind}.")
    is_recording = member.isreg() and path.suffix.lower() == ".wav" and len(path.parts) > 1
    return PurePosixPath(*path.parts[-2:]) if is_recording else None


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if path.exists():
        raise DataError(f"the archive is refused: it holds {'/'.join(path.parts[-2:])!r} twice.")
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(tar.extractfile(member), file, _CHUNK)


class _Throttle:
    """Passes progress on, twice a second at most and always at the end."""

    def __init__(self, progress: Progress | None):
        self._progress = progress
        self._last = 0.0
        self._said: tuple[str, int, int] | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        now, call = time.monotonic(), (what, done, total)
        if not self._progress or not total or call == self._said:
            return
        if now - self._last >= 0.5 or done == total:
            self._last, self._said = now, call
            self._progress(*call)

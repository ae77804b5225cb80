"""The Speech Commands archive, or another of recordings: downloaded, verified, unpacked.

Data from the network is not trusted until its SHA-256 is verified. Even then an archive with a
link, a device or a path that leads out of its folder is refused as a whole.
"""

import fcntl
import hashlib
import http.client
import shutil
import ssl
import sys
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from vm_startup.speech_commands.errors import DataError
from vm_startup.speech_commands.progress import Progress, log_progress

DIGESTS = {
    "v0.02": "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    "v0.01": "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
}
# SHA-256 by file name, for every address it is downloaded from.
KNOWN = {f"speech_commands_{version}.tar.gz": digest for version, digest in DIGESTS.items()}

ATTEMPTS = 5  # connections in a row without a byte, after which a download fails
PAUSE = 2  # seconds, longer after every attempt
TIMEOUT = 60  # seconds without a byte, after which a connection is closed
MAX_DOWNLOAD = 16 << 30  # bytes
MAX_UNPACKED = 64 << 30  # bytes
MAX_MEMBERS = 1_000_000
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
    """The SHA-256 that the archive must have; raises DataError if it is not known."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DataError(f"--data_url {url} is not a web address: begin it with https:// or http://")
    digest = (sha256 or KNOWN.get(PurePosixPath(url).name, "")).lower()
    if not digest:
        raise DataError(f"--data_url {url} is not a known archive: give its --data_sha256 too")
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise DataError(f"--data_sha256 {digest} is not a SHA-256: give 64 hexadecimal digits")
    return digest


def fetch(url: str, sha256: str, cache_dir: Path | str, report: Progress = log_progress) -> Path:
    """The folder with the archive's word folders, in cache_dir; downloaded if it is missing.

    An interrupted download continues where it stopped, also in a later call. `report` is called for
    every piece. Raises DataError if the archive cannot be downloaded, differs from the digest,
    or holds anything dangerous.
    """
    digest = check_url(url, sha256)
    cache = Path(cache_dir)
    folder = cache / f"speech_commands-{digest[:16]}"
    packed = cache / f"{folder.name}.tar.gz.part"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two trainings may share a cache
            if not folder.is_dir():
                _download_verified(url, digest, packed, report)
                _unpack(packed, folder, report)
            packed.unlink(missing_ok=True)
    except OSError as error:  # of the disk: network errors are caught where they happen
        raise DataError(f"{cache} cannot store the archive: {error.strerror or error}") from error
    return folder


def _download_verified(url: str, digest: str, packed: Path, report: Progress) -> None:
    """A resumed file may begin with another archive: if its digest is wrong, it is retried once."""
    resumed = packed.exists()
    _download(url, packed, report)
    found = _digest(packed, report)
    if found != digest and resumed:
        packed.unlink()
        _download(url, packed, report)
        found = _digest(packed, report)
    if found != digest:
        packed.unlink()
        raise DataError(f"{url} is not the expected archive: its SHA-256 is {found}, not {digest}")


def _download(url: str, packed: Path, report: Progress) -> None:
    """Append to `packed` until it is complete."""
    failures = 0
    while True:
        before = _size(packed)
        try:
            if _download_once(url, packed, before, report):
                return
            reason = "the connection was closed early"
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # no bytes follow those that are here
                return
            if error.code < 500:
                raise DataError(
                    f"{url} cannot be downloaded: {error.code} {error.reason}"
                ) from error
            reason = f"{error.code} {error.reason}"
        except NETWORK_ERRORS as error:
            reason = str(getattr(error, "reason", error))
        after = _size(packed)
        failures = 0 if after > before else failures + 1
        if failures == ATTEMPTS:
            raise DataError(
                f"{url} cannot be downloaded ({reason}): run again to continue after "
                f"{after:,} bytes"
            )
        time.sleep(PAUSE * failures)


def _download_once(url: str, packed: Path, have: int, report: Progress) -> bool:
    """Download over one connection; whether the file is complete."""
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
                if done > MAX_DOWNLOAD:
                    raise DataError(f"{url} is larger than {MAX_DOWNLOAD >> 30} GiB")
                report("Downloading MB", done // _MEGABYTE, total // _MEGABYTE)
    return done >= total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest(packed: Path, report: Progress) -> str:
    sha256, size = hashlib.sha256(), _size(packed)
    with packed.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            report("Verifying MB", file.tell() // _MEGABYTE, size // _MEGABYTE)
    return sha256.hexdigest()


def _unpack(packed: Path, folder: Path, report: Progress) -> None:
    """Write all of the archive's files, or no folder at all."""
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    size = _size(packed)
    try:
        with packed.open("rb") as file, tarfile.open(fileobj=file, mode="r|gz") as tar:
            for member in _limited(tar):
                if path := _target_path(member):
                    _write(tar, member, unfinished / path)
                report("Unpacking MB", file.tell() // _MEGABYTE, size // _MEGABYTE)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"the archive is broken: {error}") from error
    if not any(unfinished.iterdir()):
        raise DataError("the archive has no file")
    unfinished.rename(folder)


def _limited(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members; raises DataError above MAX_MEMBERS or MAX_UNPACKED."""
    unpacked = 0
    for count, member in enumerate(tar):
        unpacked += member.size
        if count >= MAX_MEMBERS or unpacked > MAX_UNPACKED:
            raise DataError(
                f"the archive is too large: it has more than {MAX_MEMBERS:,} files "
                f"or {MAX_UNPACKED >> 30} GiB unpacked"
            )
        yield member


def _target_path(member: tarfile.TarInfo) -> PurePosixPath | None:
    """The path of a file in the folder, None for a folder; raises DataError for unsafe members."""
    path = PurePosixPath(member.name)
    outside = path.is_absolute() or ".." in path.parts
    if outside or not member.name.isprintable() or not (member.isreg() or member.isdir()):
        problem = "leads out of its folder" if outside else "is neither a plain file nor a folder"
        raise DataError(f"the archive is not safe: its member {member.name!r} {problem}")
    return path if member.isreg() and path.parts else None


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if path.exists():
        raise DataError(
            f"the archive is not safe: it holds {member.name.removeprefix('./')!r} twice"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(cast(IO[bytes], tar.extractfile(member)), file, _CHUNK)


if __name__ == "__main__":  # archive.py URL SHA256 CACHE_DIR prints the folder
    print(fetch(sys.argv[1], sys.argv[2], sys.argv[3]))

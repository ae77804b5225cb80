import hashlib
import http.server
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import threading
import tomllib
import zipfile

import pytest
from tiny_training import VM_STARTUP

CONTENT = bytes(range(256)) * 4000
ROOT = VM_STARTUP.parent


def shell(folder, script, scripts=VM_STARTUP, **environment):
    """Run Bash in a work folder with packages.sh sourced and without pauses between tries."""
    prelude = f"set -euo pipefail; source {shlex.quote(str(scripts))}/packages.sh; pauses=(0 0 0); "
    done = subprocess.run(
        ["bash", "-c", prelude + script],
        cwd=folder,
        env=os.environ | {"PYTHON": sys.executable} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def digest(content):
    return hashlib.sha256(content).hexdigest()


class CutOff(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT from any offset, but closes the first connection half-way."""

    offsets: list[int]

    def do_GET(self):
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        offset = int(match[1]) if match else 0
        self.offsets.append(offset)
        if self.path != "/file":
            self.send_error(404)
            return
        self.send_response(206 if offset else 200)
        self.send_header("Content-Length", str(len(CONTENT) - offset))
        if offset:
            self.send_header("Content-Range", f"bytes {offset}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        rest = CONTENT[offset:]
        self.wfile.write(rest if offset else rest[: len(rest) // 2])

    def log_message(self, *_):
        """Log nothing."""


@pytest.fixture
def server():
    """A server on this computer, as (address, requested offsets)."""
    handler = type("Handler", (CutOff,), {"offsets": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", handler.offsets
        server.shutdown()


def test_fetch_resumes_an_interrupted_download(server, tmp_path):
    """The second try requests the rest, and nothing is requested twice."""
    address, offsets = server
    for _ in range(2):
        code, _, err = shell(tmp_path, f"fetch {digest(CONTENT)} {address}/file downloads/file")
        assert code == 0, err
    assert (tmp_path / "downloads" / "file").read_bytes() == CONTENT
    assert offsets == [0, len(CONTENT) // 2]
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == ["file"]


def test_fetch_takes_a_local_file(tmp_path):
    """A path may replace a URL."""
    (tmp_path / "a file").write_bytes(CONTENT)
    code, _, err = shell(tmp_path, f"fetch {digest(CONTENT)} 'a file' b")
    assert code == 0, err
    assert (tmp_path / "b").read_bytes() == CONTENT


@pytest.mark.parametrize("path", ["file", "nothing"])
def test_fetch_refuses_a_wrong_digest(server, tmp_path, path):
    """Neither other bytes nor an error page become the file."""
    code, _, err = shell(tmp_path, f"fetch {'0' * 64} {server[0]}/{path} target")
    assert code == 1
    assert err.splitlines()[-1] == (
        f"error: {server[0]}/{path}: no download has SHA-256 {'0' * 64}"
    )
    assert not (tmp_path / "target").exists()


# -- Python packages ------------------------------------------------------------------------------


def wheel(folder, name, version):
    """A package of one module."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    facts = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(
            f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{facts}/RECORD", "")
    return path


@pytest.fixture
def scripts(tmp_path):
    """A copy of packages.sh that requires one local package."""
    scripts, wheels = tmp_path / "scripts", tmp_path / "wheels"
    scripts.mkdir()
    wheels.mkdir()
    for name in ("packages.sh", "check_python.py"):
        shutil.copy(VM_STARTUP / name, scripts)
    (scripts / "requirements.in").write_text("tinyword==1.0  # the only one\n")
    sum_ = digest(wheel(wheels, "tinyword", "1.0").read_bytes())
    (scripts / "requirements.txt").write_text(f"tinyword==1.0 --hash=sha256:{sum_}\n")
    return scripts


def install(scripts, command="install_packages", **environment):
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(scripts.parent / "wheels")}
    return shell(scripts.parent, command, scripts, **offline | environment)


def test_packages_are_installed_once_by_their_digests(scripts, tmp_path):
    """A Python that lacks a package does not change: a venv gets the pinned packages, and is kept
    while the lock is the same."""
    code, out, err = install(scripts)
    assert code == 0, err
    assert "Successfully installed tinyword-1.0" in out
    code, out, _ = install(scripts)
    assert out == f"Python has every package: {tmp_path}/venv/bin/python\n"
    code, out, err = install(scripts, 'prepare_run; echo "$python"; "$python" -c "import tinyword"')
    assert (code, out) == (0, f"{tmp_path}/venv/bin/python\n"), err
    with (scripts / "requirements.txt").open("a") as lock:
        lock.write("# changed\n")
    code, _, err = install(scripts, "prepare_run")
    assert (code, err) == (1, "error: Python packages are missing: run setup first\n")


def test_package_with_wrong_digest_is_refused(scripts, tmp_path):
    """A package from an index must be the pinned one."""
    wheel(tmp_path / "wheels", "tinyword", "1.0").open("ab").write(b"!")
    code, _, err = install(scripts)
    assert code == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in err
    lock = scripts / "requirements.txt"
    assert (
        err.splitlines()[-1]
        == f"error: the packages of {lock} could not be installed; see the lines above"
    )
    assert not (tmp_path / "venv" / "requirements.txt").exists()


@pytest.fixture
def without_python(tmp_path):
    """A PATH whose Pythons are all too old."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        (tools / name).write_text("#!/bin/sh\nexit 1\n")
        (tools / name).chmod(0o755)
    return f"{tools}:{os.environ['PATH']}"


def test_too_old_python_is_replaced_by_a_pinned_one(tmp_path, without_python):
    """If no Python can train, a pinned one is unpacked into the work folder, once."""
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    archive = tmp_path / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(program, "python/bin/python3")
    script = (
        f"python_sha256={digest(archive.read_bytes())}; choose_python; choose_python; echo $python"
    )
    environment = {"PYTHON": "", "PATH": without_python, "PYTHON_ARCHIVE": str(archive)}
    code, out, err = shell(tmp_path, script, **environment)
    assert code == 0, err
    assert out.splitlines() == [
        "No Python here can train: downloading one",
        f"{tmp_path}/python/bin/python3",
    ]


def test_named_python_that_is_too_old_is_an_error(tmp_path, without_python):
    """A named interpreter is never replaced by another."""
    code, _, err = shell(tmp_path, "choose_python", PATH=without_python, PYTHON="python3.12")
    assert code == 1
    assert err == (
        "error: python3.12 is not Python 3.11, 3.12 or 3.13 with venv: name another in PYTHON\n"
    )


def test_requirements_equal_pyproject():
    """A machine installs the same versions as this computer."""
    lines = (VM_STARTUP / "requirements.in").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert len(pins) == 5
    assert set(pins) <= set(dependencies)


def test_lock_pins_every_package_by_digest():
    """Each pin of requirements.in is in the lock; each package has digests; no index is named."""
    lock = (VM_STARTUP / "requirements.txt").read_text()
    entries = re.split(r"(?m)^(?=[a-z])", lock)[1:]
    assert all(re.match(r"[a-z0-9.-]+==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", e) for e in entries)
    pins = [
        line for line in (VM_STARTUP / "requirements.in").read_text().splitlines() if "==" in line
    ]
    assert {pin.split()[0] for pin in pins} <= {entry.split()[0] for entry in entries}
    assert "://" not in lock
    assert "--index" not in lock


@pytest.mark.parametrize(("name", "pythons"), [("requirements", 3), ("upstream_requirements", 1)])
def test_lock_has_one_digest_for_each_python(name, pythons):
    """A lock has the digests of the wheels that a machine can install, and of no others."""
    lock = (VM_STARTUP / f"{name}.txt").read_text()
    entries = re.split(r"(?m)^(?=[a-z])", lock)[1:]
    assert [e for e in entries if not 1 <= e.count("--hash=sha256:") <= pythons] == []

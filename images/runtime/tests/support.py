"""What the tests share: the package on the path, a job directory, a server started as the platform does."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

RUNTIME = Path(__file__).resolve().parents[1]
if str(RUNTIME) not in sys.path:
    sys.path.insert(0, str(RUNTIME))


def image_python(name):
    """The interpreter of a prebuilt image environment, or None when `TENANTRY_TEST_ENVS` has none."""
    base = os.environ.get("TENANTRY_TEST_ENVS")
    path = Path(base or "/nonexistent") / name / "bin" / "python"
    return str(path) if path.exists() else None


class Job:
    """A directory laid out as /opt/ml."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="tenantry-test-"))
        for name in ("input/config", "input/data", "model", "output"):
            (self.root / name).mkdir(parents=True)

    def config(self, name, value):
        """Writes one of the JSON files under input/config."""
        (self.root / "input" / "config" / f"{name}.json").write_text(json.dumps(value))

    def hosts(self, current, hosts):
        """Writes resourceconfig.json."""
        self.config("resourceconfig", {"current_host": current, "hosts": hosts, "network_interface_name": "lo"})

    def file(self, name, data):
        """Writes a file below the root."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def env(self, **more):
        """The environment of a process of this job."""
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("SM_", "SAGEMAKER_", "TENANTRY_OVERLAY", "VIRTUAL_ENV"))}
        return {**kept, "TENANTRY_OPT_ML": str(self.root), "PYTHONPATH": str(RUNTIME), "PYTHONDONTWRITEBYTECODE": "1",
                **more}

    def start(self, *command, python=None, **more):
        """Starts `python -m …` for this job."""
        return subprocess.Popen([python or sys.executable, "-m", *command], env=self.env(**more), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, *command, python=None, **more):
        """Runs it to its end; returns (exit code, output)."""
        process = self.start(*command, python=python, **more)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    def failure(self):
        """The failure file's text, or None."""
        path = self.root / "output" / "failure"
        return path.read_text() if path.exists() else None

    def close(self):
        """Removes everything."""
        shutil.rmtree(self.root, ignore_errors=True)


def free_port():
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def call(port, method, path, body=None, headers=None):
    """`(status, body, headers)` of a request to a local server."""
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
    if isinstance(body, str):
        body = body.encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


@contextlib.contextmanager
def serving(job, *command, python=None, **more):
    """A server of this job; yields its port once it answers pings."""
    port = free_port()
    process = job.start(*command, python=python, SAGEMAKER_BIND_TO_PORT=str(port), **more)
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise AssertionError(f"the server ended: {process.stdout.read()}")
            with contextlib.suppress(OSError):
                if call(port, "GET", "/ping")[0] == 200:
                    break
            time.sleep(0.1)
        else:
            raise AssertionError("the server never answered /ping")
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=30)

"""A job's own writable layer over the image's read-only Python environment.

Scripts call `pip install`, and the environment they run in is shared by every job of the image, so they
get a small environment of their own whose site-packages comes first and whose `.pth` file leads to the
image's. Pip treats the image's packages as installed but foreign: it reuses them, and installs another
version beside them instead of trying to remove files it may not touch. Making the layer takes a few
milliseconds: some links, some small files.

In a sandbox the environment is itself a mount with a writable layer of the job on it; then none of this is
needed and the environment is used as it is. It does not isolate anything: the sandbox does.
"""

import os
import sys
import sysconfig
import tempfile
from pathlib import Path

from . import layout

_MARK = "TENANTRY_OVERLAY"


def _place():
    """The first place with room that the job may write: its volume, else the temporary directory."""
    given = os.environ.get(_MARK)
    if given:
        return Path(given)
    for parent in (layout.root(), Path(tempfile.gettempdir())):
        if parent.is_dir() and os.access(parent, os.W_OK):
            return parent / ".python"
    raise OSError("no writable directory for the job's Python packages, make /tmp writable")


def _mounted():
    """Whether the platform already put a layer of this job over the environment."""
    return os.path.ismount(sys.prefix)


def _write_script(path, text):
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def create(directory):
    """Makes the layer over the running interpreter's environment and returns its `python`."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site_packages = directory / "lib" / version / "site-packages"
    bin_dir = directory / "bin"
    site_packages.mkdir(parents=True, exist_ok=True)
    bin_dir.mkdir(exist_ok=True)
    interpreter = getattr(sys, "_base_executable", None) or sys.executable
    for name in ("python", "python3", version):
        link = bin_dir / name
        if not link.is_symlink():
            link.symlink_to(interpreter)
    (directory / "pyvenv.cfg").write_text(
        f"home = {Path(interpreter).parent}\ninclude-system-site-packages = false\n", encoding="utf-8"
    )
    below = list(dict.fromkeys(sysconfig.get_paths()[key] for key in ("purelib", "platlib")))
    lines = "".join(f"import site; site.addsitedir({path!r})\n" for path in below)
    (site_packages / "image.pth").write_text(lines, encoding="utf-8")
    for name in ("pip", "pip3"):
        _write_script(bin_dir / name, f'#!/bin/sh\nexec "{bin_dir}/python" -m pip "$@"\n')
    return bin_dir / "python"


def environment():
    """Makes the layer if needed and returns the variables of a process that shall run in it."""
    env = dict(os.environ)
    env.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    env.setdefault("PIP_NO_CACHE_DIR", "1")
    if _mounted():
        return env
    directory = _place()
    image_bin = Path(sys.executable).parent
    if env.get("VIRTUAL_ENV") != str(directory):
        create(directory)
        env["PATH"] = os.pathsep.join([str(directory / "bin"), str(image_bin), env.get("PATH", "/usr/bin:/bin")])
    env["VIRTUAL_ENV"] = str(directory)
    env[_MARK] = str(directory)
    return env


def python():
    """The layer's interpreter; call `environment` first."""
    return sys.executable if _mounted() else str(_place() / "bin" / "python")


def enter(module):
    """Starts this process over as `python -m module` inside the layer, unless it is already there."""
    if _mounted() or Path(sys.prefix).resolve() == _place().resolve():
        return
    env = environment()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(python(), [python(), "-m", module, *sys.argv[1:]], env)

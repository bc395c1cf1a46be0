"""`python -m tenantry_runtime.training_toolkit`: runs a user's training script (script mode).

It unpacks the sources named by `sagemaker_submit_directory`, installs their requirements.txt, sets the
SM_* variables and runs `sagemaker_program` with the hyperparameters as arguments. The program's own exit
code is the job's; what it last said on stderr becomes the failure reason, so that a missing library (say
a proprietary one that only AWS has) shows as the script's own ImportError.

MPI, smdistributed and parameter servers are launchers of AWS's images and are not here: a script that
asks for one is still run once per host, and says itself what it misses.
"""

import collections
import os
import re
import shlex
import subprocess
import sys
import threading

from . import archive, failure, layout, overlay, toolkit_env
from .failure import UserError

MAX_ERROR_CHARS = 4000
_KEPT_LINES = 200


def error_message(lines):
    """The end of stderr that says what went wrong: the last exception after the last traceback."""
    lines = [line.rstrip("\n") for line in lines if line.strip()]
    for index in range(len(lines) - 1, -1, -1):
        if re.match(r"^[\w.]+(Error|Exception|Interrupt|Exit|Warning)\b", lines[index]):
            return "\n".join(lines[index:])[:MAX_ERROR_CHARS]
    return "\n".join(lines[-10:])[:MAX_ERROR_CHARS]


def _watched(command, env, cwd):
    """Runs a command with its output passed on line by line; returns (exit code, last lines of stderr)."""
    last = collections.deque(maxlen=_KEPT_LINES)
    process = subprocess.Popen(command, env=env, cwd=cwd, stderr=subprocess.PIPE)

    def forward():
        for line in process.stderr:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
            last.append(line[:MAX_ERROR_CHARS].decode("utf-8", "replace"))

    reader = threading.Thread(target=forward, daemon=True)
    reader.start()
    code = process.wait()
    # A background child of the script may hold the pipe open; its later words are not waited for.
    reader.join(timeout=5)
    return code, list(last)


def install_requirements(directory, env):
    """Installs requirements.txt, when there is one, into the job's own layer."""
    if not os.path.isfile(os.path.join(directory, "requirements.txt")):
        return
    command = [overlay.python(), "-m", "pip", "install", "-r", "requirements.txt"]
    print("Installing dependencies from requirements.txt", flush=True)
    code, lines = _watched(command, env, directory)
    if code:
        raise UserError(f"InstallRequirementsError:\nExitCode {code}\nErrorMessage \"{error_message(lines)}\"\n"
                        f"Command \"{shlex.join(command)}\"")


def command_for(program, directory, arguments):
    """How to start the program: a .py file, a shell script, or a package with setup.py."""
    if not os.path.isfile(os.path.join(directory, program)) and "/" not in program and not program.endswith(".sh"):
        packaged = any(os.path.isfile(os.path.join(directory, name)) for name in ("setup.py", "pyproject.toml"))
        module = program[:-3] if program.endswith(".py") else program
        if packaged or os.path.isdir(os.path.join(directory, module)):
            return [overlay.python(), "-m", module, *arguments]
    path = os.path.realpath(os.path.join(directory, program))
    if not path.startswith(os.path.realpath(directory) + os.sep) or not os.path.isfile(path):
        found = ", ".join(sorted(os.listdir(directory))[:20]) if os.path.isdir(directory) else "nothing"
        raise UserError(f"sagemaker_program `{program}` is not in the sources, which hold: {found}")
    if program.endswith(".py"):
        return [overlay.python(), program, *arguments]
    return ["/bin/sh", "-c", f"./{shlex.quote(program)} {shlex.join(arguments)}"] if os.access(path, os.X_OK) \
        else ["/bin/sh", program, *arguments]


def train():
    """Runs the job's program; returns its exit code, with the failure file written when it is not 0."""
    given = layout.hyperparameters()
    program = given.get("sagemaker_program") or os.environ.get("SAGEMAKER_PROGRAM")
    if not program or not isinstance(program, str):
        raise UserError("no script to run: set the hyperparameters sagemaker_program and sagemaker_submit_directory")
    directory = layout.code_dir()
    source = given.get("sagemaker_submit_directory") or os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY")
    directory.mkdir(parents=True, exist_ok=True)
    if source:
        archive.fetch_sources(str(source), directory)
    env = overlay.environment()
    variables = toolkit_env.variables(given, program, str(source or directory))
    env.update(variables)
    paths = [str(directory), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    env["PYTHONUNBUFFERED"] = "1"
    for path in (variables["SM_OUTPUT_DATA_DIR"], variables["SM_OUTPUT_INTERMEDIATE_DIR"], variables["SM_MODEL_DIR"]):
        os.makedirs(path, exist_ok=True)
    install_requirements(str(directory), env)
    arguments = toolkit_env.arguments({k: v for k, v in given.items() if not toolkit_env.is_reserved(k)})
    if os.path.isfile(directory / "setup.py") and not os.path.isfile(directory / program):
        code, lines = _watched([overlay.python(), "-m", "pip", "install", ".", "-q"], env, str(directory))
        if code:
            raise UserError(f"InstallModuleError:\nExitCode {code}\nErrorMessage \"{error_message(lines)}\"")
    command = command_for(program, str(directory), arguments)
    print(f"Invoking user script: {shlex.join(command)}", flush=True)
    code, lines = _watched(command, env, str(directory))
    if code:
        reason = f"ExitCode {code}\nErrorMessage \"{error_message(lines)}\"\nCommand \"{shlex.join(command)}\""
        failure.write_failure(layout.output_dir(), f"ExecuteUserScriptError:\n{reason}")
        print(f"ExecuteUserScriptError:\n{reason}", file=sys.stderr, flush=True)
        return code if 0 < code < 256 else 128 - code
    print("Reporting training SUCCESS", flush=True)
    return 0


def main():
    """Returns the process's exit code."""
    return failure.run(layout.output_dir(), train)


if __name__ == "__main__":
    sys.exit(main())

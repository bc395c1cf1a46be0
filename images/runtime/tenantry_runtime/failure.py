"""How a job ends: the files `output/failure` and `output/success`, and the exit code.

The platform shows the beginning of `output/failure` as the FailureReason, so the first line must say
what to change. Follows "Signal algorithm success and failure" in the SageMaker developer guide.
"""

import sys
import traceback

MAX_FAILURE_CHARS = 16 * 1024


class UserError(Exception):
    """The job's own input is wrong: a hyperparameter, a file, a script."""


class AlgorithmError(Exception):
    """The algorithm failed on input that looked right."""


def write_failure(output_dir, message):
    """Leaves the reason where the platform looks for it; a full disk must not hide the exit code."""
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "failure").write_text(message[:MAX_FAILURE_CHARS], encoding="utf-8", errors="replace")
    except OSError as error:
        print(f"cannot write the failure file: {error}", file=sys.stderr)


def run(output_dir, job):
    """Runs `job`, a function that returns an exit code, and turns every ending into files and a code."""
    try:
        code = job()
    except (UserError, AlgorithmError) as error:
        message = f"{type(error).__name__}: {error}"
        print(message, file=sys.stderr, flush=True)
        write_failure(output_dir, message)
        return 1
    except MemoryError:
        write_failure(output_dir, "AlgorithmError: out of memory, use a larger instance type or less data")
        return 1
    except Exception as error:
        traceback.print_exc()
        write_failure(output_dir, f"framework error: {type(error).__name__}: {error}\n{traceback.format_exc()}")
        return 1
    if code == 0:
        try:
            output_dir.mkdir(parents=True, exist_ok=True)
            (output_dir / "success").touch()
        except OSError as error:
            print(f"cannot write the success file: {error}", file=sys.stderr)
    return code

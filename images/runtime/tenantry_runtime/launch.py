"""`python -m tenantry_runtime.launch COMMAND…`: runs a processing job's entry point as it was given.

Only for a platform that runs jobs without a sandbox: there the environment is shared, and this puts a
writable Python layer of the job first on PATH before the container's own command, so that `pip install` in
a script leaves the image alone. It neither reads nor writes anything else.
"""

import os
import sys

from . import overlay


def main():
    """Replaces this process by the command; answers 127 when there is no such program."""
    command = sys.argv[1:]
    if not command:
        print("usage: python -m tenantry_runtime.launch COMMAND [ARGUMENT…]", file=sys.stderr)
        return 2
    env = overlay.environment()
    os.environ["PATH"] = env["PATH"]
    try:
        os.execvpe(command[0], command, env)
    except OSError as error:
        print(f"cannot start `{command[0]}`: {error.strerror}", file=sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126


if __name__ == "__main__":
    sys.exit(main())

"""Kills the server at random instants while it works, and holds what it then says against what it had acknowledged.

`cargo xtask crash --kills N [--seed S]`. Writers of many kinds work through boto3, one thread each. Each keeps a ledger: what was
acknowledged, and what was under way when the connection broke. After a restart a thing of the ledger must be as acknowledged; a thing
under way must be as before or as after, whole; and where a client would repeat its request (a token, a name), the repetition
must find one effect and not make a second. In the end everything that was started must have ended, truthfully, and the audit chain
must verify.

What this does not do: take away power (the disk's own cache), or fail the file system.
"""

import argparse
import json
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time

import botocore.exceptions

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from conftest import BINARY, ENVIRONMENTS, Instance  # noqa: E402
from ledgers import WRITERS, Broken, Interrupted  # noqa: E402

# The writers work this long, at most, before the next kill, in seconds.
LIFE = 0.8
# After the last kill, what is under way may take this long to end, in seconds.
DRAIN = 300


class Server(Instance):
    """A server that comes back on the same port, so that clients last."""

    def start(self):
        if not hasattr(self, "port"):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        self.log = open(self.data.parent / "server.log", "ab")
        begun = time.monotonic()
        arguments = ["serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}", "--environments", ENVIRONMENTS]
        self.process = subprocess.Popen([BINARY, *arguments], stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            self.log.flush()
            raise SystemExit(f"the server does not start again: {(self.data.parent / 'server.log').read_text()[-2000:]}")
        self.starting = time.monotonic() - begun
        self.url = line.split()[1]
        keys = json.loads((self.data / "administrator.json").read_text())
        self.account = keys["account"]
        self.keys = {"aws_access_key_id": keys["access_key_id"], "aws_secret_access_key": keys["secret_access_key"]}

    def verify_audit(self):
        done = subprocess.run([BINARY, "audit", "verify", "--data", self.data], capture_output=True, text=True)
        if done.returncode != 0:
            raise Broken(f"the audit chain: {done.stdout}{done.stderr}")


class Lives:
    """Lets the writers know which life of the server this is, and when there will be no more."""

    def __init__(self):
        self.changed = threading.Condition()
        self.life = 0
        self.over = False

    def begin(self):
        with self.changed:
            self.life += 1
            self.changed.notify_all()

    def end(self):
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def after(self, life):
        """The next life, or None when there will be none."""
        with self.changed:
            self.changed.wait_for(lambda: self.life > life or self.over)
            return self.life if self.life > life else None


def work(writer, lives, failures):
    life = 0
    while (life := lives.after(life)) is not None:
        try:
            writer.settle()
            # A writer between two calls may not have noticed that the server was gone.
            while lives.life == life and not lives.over:
                writer.step()
        except Interrupted:
            continue
        except Broken as broken:
            failures.append(f"{writer.name}: {broken}")
        except botocore.exceptions.ClientError as error:
            failures.append(f"{writer.name}: an answer that was not expected: {error}")
        except Exception as error:  # A writer that ends quietly would let everything pass.
            failures.append(f"{writer.name}: {type(error).__name__}: {error}")
            raise


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", action="store_true", help="keep the data directory")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    data = pathlib.Path(tempfile.mkdtemp(prefix="tenantry-crash-")) / "data"
    data.parent.chmod(0o755)
    server = Server(data)
    print(f"seed {seed}, data in {data}", flush=True)
    failures, lives = [], Lives()
    writers = [kind(server, random.Random(chance.random())) for kind in WRITERS]
    threads = [threading.Thread(target=work, args=(writer, lives, failures), daemon=True) for writer in writers]
    for thread in threads:
        thread.start()
    begun, starts = time.monotonic(), []
    try:
        for kill in range(given.kills):
            lives.begin()
            time.sleep(chance.uniform(0.02, LIFE))
            server.kill()
            if kill % 20 == 19:
                server.verify_audit()
                done = sum(writer.acknowledged for writer in writers)
                print(f"{kill + 1} kills in {time.monotonic() - begun:.0f} s: {done} acknowledged, {len(failures)} failures", flush=True)
            server.start()
            starts.append(server.starting)
            if failures:
                break
        lives.end()
        for thread in threads:
            thread.join(timeout=60)
        for writer in writers:
            writer.settle()
            writer.drain(time.monotonic() + DRAIN)
            writer.check_all()
        if server.stop() != 0:
            failures.append("SIGTERM did not end the server with 0")
        server.verify_audit()
    except (Broken, Interrupted, botocore.exceptions.ClientError) as error:
        failures.append(f"in the end: {type(error).__name__}: {error}")
    finally:
        if server.process.poll() is None:
            server.kill()
    for writer in writers:
        print(f"  {writer.name:<12} {writer.acknowledged:>6} acknowledged, {writer.interrupted:>4} interrupted ({writer.took_effect} of them took effect)")
    starts.sort()
    if starts:
        print(f"  restart to ready: median {starts[len(starts) // 2] * 1000:.0f} ms, longest {starts[-1] * 1000:.0f} ms")
    for failure in failures:
        print(f"FAILED {failure}")
    if not failures and not given.keep:
        subprocess.run(["rm", "-rf", str(data.parent)], check=False)
    elif failures:
        print(f"seed {seed}; data kept in {data}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""Kills the server at random instants while it works, and holds what it then says against what it had acknowledged.

`cargo xtask crash --kills N [--seed S]`. Writers of many kinds work through boto3, one thread each. Each keeps a ledger: what was
acknowledged, and what was under way when the connection broke. After a restart a thing of the ledger must be as acknowledged; a thing
under way must be as before or as after, whole; and where a client would repeat its request (a token, a name), the repetition
must find one effect and not make a second. In the end everything that was started must have ended, truthfully, and the audit chain
must verify.

Lives of the server are of mixed length: most are too short for anything to end in peace, some long enough for endpoints to come up,
and now and then it is killed while it starts. Two accounts work side by side. A run in which some kind of work was hardly done proves
nothing, and fails.

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
from ledgers import IMAGES, MEMBER_WRITERS, WRITERS, Broken, Interrupted  # noqa: E402

# Lives are measured by what is done in them and not by the clock, so that a busy machine does as much as an idle one.
# A short life ends after so many acknowledged changes; a long one when endpoints were seen in service so often.
SHORT, LONG_EVERY, LONG = (0, 25), 10, (1, 6)
# And some milliseconds later, in seconds; and in any case after so many seconds.
AFTER, AT_MOST = 0.03, {"short": 6, "long": 20}
# One start in so many is not survived: the server is killed so soon after it was begun, in seconds.
STILLBORN_EVERY, STILLBORN = 6, (0.0, 0.05)
# After the last kill, what is under way may take this long to end, in seconds.
DRAIN = 300


class Tenant:
    """An account, and the keys of somebody who may do everything in it."""

    def __init__(self, name, account, keys):
        self.name, self.account, self.keys = name, account, keys
        self.clients, self.lock = {}, threading.Lock()

    def client(self, server, service):
        """One for all writers and lives: the server comes back where it was, and making clients would take longer than lives last.

        It repeats nothing by itself: a repeated PUT is a second version.
        """
        with self.lock:
            if service not in self.clients:
                once = {"total_max_attempts": 1, "mode": "standard"}
                addressed = {"addressing_style": "path"}
                self.clients[service] = server.client(service, self.keys, read_timeout=60, retries=once, s3=addressed, max_pool_connections=20)
            return self.clients[service]


class Server(Instance):
    """A server that comes back on the same port, so that clients last."""

    def begin(self):
        """Begins a process; it is not ready yet."""
        if not hasattr(self, "port"):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            self.images = self.data.parent / "images"
            self.images.mkdir()
            for name, text in IMAGES.items():
                (self.images / name).write_text(text)
        self.log = open(self.data.parent / "server.log", "ab")
        self.begun = time.monotonic()
        arguments = ["serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}", "--environments", ENVIRONMENTS, "--images", self.images]
        self.process = subprocess.Popen([BINARY, *arguments], stdout=subprocess.PIPE, stderr=self.log, text=True)

    def start(self):
        self.begin()
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            self.log.flush()
            raise SystemExit(f"the server does not start again: {(self.data.parent / 'server.log').read_text()[-2000:]}")
        self.starting = time.monotonic() - self.begun
        self.url = line.split()[1]
        keys = json.loads((self.data / "administrator.json").read_text())
        self.account = keys["account"]
        self.keys = {"aws_access_key_id": keys["access_key_id"], "aws_secret_access_key": keys["secret_access_key"]}

    def tenants(self):
        """The management account, and a member with a user of its own."""
        administrator = Tenant("one", self.account, None)
        organizations = self.client("organizations")
        asked = organizations.create_account(Email="two@example.com", AccountName="two")["CreateAccountStatus"]["Id"]
        while (made := organizations.describe_create_account_status(CreateAccountRequestId=asked)["CreateAccountStatus"])["State"] == "IN_PROGRESS":
            time.sleep(0.1)
        account = made["AccountId"]
        role = f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole"
        entered = self.client("sts").assume_role(RoleArn=role, RoleSessionName="crash")["Credentials"]
        iam = self.client("iam", entered)
        iam.create_user(UserName="crash")
        iam.attach_user_policy(UserName="crash", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        key = iam.create_access_key(UserName="crash")["AccessKey"]
        keys = {"AccessKeyId": key["AccessKeyId"], "SecretAccessKey": key["SecretAccessKey"], "SessionToken": None}
        return administrator, Tenant("two", account, keys)

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


def wait_for_progress(writers, length, chance):
    """Until enough was done in this life, and then a random moment."""
    done = {"short": lambda: sum(writer.acknowledged for writer in writers), "long": lambda: sum(writer.tally.get("in service", 0) for writer in writers)}
    progress = done[length]
    enough = progress() + chance.randint(*(LONG if length == "long" else SHORT))
    moment, until = chance.uniform(0, AFTER), time.monotonic() + AT_MOST[length]
    while progress() < enough and time.monotonic() < until:
        time.sleep(0.002)
    time.sleep(moment)


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
            failures.append(f"{writer.title}: {broken}")
        except botocore.exceptions.ClientError as error:
            failures.append(f"{writer.title}: an answer that was not expected: {error}")
        except Exception as error:  # A writer that ends quietly would let everything pass.
            failures.append(f"{writer.title}: {type(error).__name__}: {error}")
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
    one, two = server.tenants()
    kinds = [(kind, one) for kind in WRITERS] + [(kind, two) for kind in MEMBER_WRITERS]
    writers = [kind(server, random.Random(chance.random()), tenant) for kind, tenant in kinds]
    threads = [threading.Thread(target=work, args=(writer, lives, failures), daemon=True) for writer in writers]
    for thread in threads:
        thread.start()
    begun, starts, kills = time.monotonic(), [], {"short": 0, "long": 0, "at start": 0}
    try:
        for kill in range(given.kills):
            if chance.randrange(STILLBORN_EVERY) == 0:
                # The server of the last turn ends as it would, and the next one does not come up.
                server.kill()
                server.begin()
                time.sleep(chance.uniform(*STILLBORN))
                kills["at start"] += 1
            else:
                lives.begin()
                length = "long" if chance.randrange(LONG_EVERY) == 0 else "short"
                wait_for_progress(writers, length, chance)
                kills[length] += 1
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
        tally = "".join(f", {count} {what}" for what, count in sorted(writer.tally.items()))
        print(f"  {writer.title:<17} {writer.acknowledged:>6} acknowledged, {writer.interrupted:>4} interrupted ({writer.took_effect} took effect){tally}")
        if not failures:
            failures += [f"{writer.title}: {lack}: this run shows little" for lack in writer.unexercised(given.kills)]
    print(f"  kills: {', '.join(f'{count} {what}' for what, count in kills.items())}")
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

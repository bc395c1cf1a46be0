"""A job of one tenant against the server, its neighbours and the network, on the running platform.

The sandbox by itself is attacked in crates/sandbox/tests/escape; here are the ways that only the whole platform has: credentials,
brokers, the proxy, uploads of what a job leaves behind, its log, and its end.
"""

import io
import json
import pathlib
import socket
import tarfile
import time
import urllib.error
import urllib.request

import pytest
from test_jobs import OVER, Lab


@pytest.fixture(scope="module")
def lab(instance):
    def wait(probe, until, seconds=300):
        end = time.monotonic() + seconds
        while not until(answer := probe()):
            assert time.monotonic() < end, answer
            time.sleep(0.3)
        return answer

    return Lab(instance, wait)


# Prints where its credentials are to be had, and waits to be stopped.
VICTIM = """
import os, time
print("credentials", os.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"], flush=True)
time.sleep(600)
"""

ATTACK = """
import http.client, json, os, socket, urllib.request

want = json.load(open("/opt/ml/processing/input/want/want.json"))
tried = {}


def attempt(name):
    def run(function):
        try:
            tried[name] = ["out", str(function())]
        except Exception as error:
            tried[name] = ["refused", f"{type(error).__name__}: {error}"]
    return run


def get(url, proxied=False, timeout=5):
    opener = urllib.request.build_opener() if proxied else urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(url, timeout=timeout).read()[:200]


def connect(host, port, family=socket.AF_INET):
    with socket.socket(family) as one:
        one.settimeout(5)
        one.connect((host, port))
        return "connected"


def through(target, method="CONNECT", host=None):
    # The proxy that the environment names, asked for what it must not give.
    proxy = urllib.request.getproxies()["https"].split("//")[1].rstrip("/")
    one = http.client.HTTPConnection(*proxy.rsplit("@")[-1].split(":"), timeout=5)
    one.putrequest(method, target, skip_host=True)
    one.putheader("Host", host or target)
    one.endheaders()
    answer = one.getresponse()
    if answer.status != 200:
        raise OSError(f"{answer.status} {answer.read()[:200]}")
    if method == "CONNECT":
        # A tunnel that is only said to be open, to nothing, lets nothing out.
        one.sock.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        if not one.sock.recv(10):
            raise OSError("the tunnel leads nowhere")
    return answer.status


own = os.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
attempt("own credentials")(lambda: len(get("http://169.254.170.2" + own)))
attempt("neighbour's credentials")(lambda: get("http://169.254.170.2" + want["neighbour"]))
attempt("credentials of a guessed name")(lambda: get("http://169.254.170.2/v2/credentials/00000000-0000-0000-0000-000000000000"))
attempt("credentials without a name")(lambda: get("http://169.254.170.2/"))
attempt("credentials by a path that climbs")(lambda: get("http://169.254.170.2/v2/credentials/../" + want["neighbour"].lstrip("/")))
attempt("instance metadata")(lambda: get("http://169.254.169.254/latest/meta-data/iam/security-credentials/"))
attempt("instance metadata over IPv6")(lambda: get("http://[fd00:ec2::254]/latest/meta-data/"))
attempt("the server's port")(lambda: connect("127.0.0.1", want["port"]))
attempt("the server's port over IPv6")(lambda: connect("::1", want["port"], socket.AF_INET6))
attempt("the server's port by a tunnel")(lambda: through(f"127.0.0.1:{want['port']}"))
attempt("the server's port by a tunnel to localhost")(lambda: through(f"localhost:{want['port']}"))
attempt("the server's port by a tunnel in IPv6 clothes")(lambda: through(f"[::ffff:127.0.0.1]:{want['port']}"))
attempt("the server's port by a tunnel to zero")(lambda: through(f"0.0.0.0:{want['port']}"))
attempt("metadata by a tunnel")(lambda: through("169.254.169.254:80"))
attempt("another program's port by a tunnel")(lambda: through(f"127.0.0.1:{want['listener']}"))
attempt("another program's port by the proxy")(lambda: through(f"http://127.0.0.1:{want['listener']}/", "GET"))
attempt("a mail server by a tunnel")(lambda: through("203.0.113.25:25"))
attempt("a public address directly")(lambda: connect("203.0.113.80", 443))
attempt("a name server")(lambda: connect("8.8.8.8", 53))
attempt("a name")(lambda: socket.getaddrinfo("example.com", 443))
attempt("the server's files")(lambda: os.listdir(want["data"]))
attempt("the administrator's keys")(lambda: open(want["data"] + "/administrator.json").read())
attempt("another job's files")(lambda: [path for path in os.listdir(os.path.dirname(want["data"]))])
attempt("keys in the environment")(lambda: next(value for name, value in os.environ.items() if want["secret"] in value))

# What is left behind for the server to pick up.
os.makedirs("/opt/ml/processing/out/sub", exist_ok=True)
os.symlink(want["data"] + "/administrator.json", "/opt/ml/processing/out/keys.json")
os.symlink(want["data"], "/opt/ml/processing/out/all")
os.symlink("/proc/1/environ", "/opt/ml/processing/out/environ")
os.mkfifo("/opt/ml/processing/out/pipe")
open("/opt/ml/processing/out/plain", "w").write("plain")
print(json.dumps(tried), flush=True)
"""


def test_a_job_reaches_nothing_of_others(lab, instance):
    listener = socket.create_server(("127.0.0.1", 0))
    victim = lab.process(VICTIM)
    said = " ".join(lab.until_logged("Processing", victim, "credentials /"))
    neighbour = said.split("credentials ")[1].split()[0]
    keys = json.loads((instance.data / "administrator.json").read_text())
    want = {
        "neighbour": neighbour,
        "port": int(instance.url.rsplit(":", 1)[1]),
        "listener": listener.getsockname()[1],
        "data": str(instance.data),
        # The attack is told half of it: enough to recognise it by.
        "secret": keys["secret_access_key"][:16],
    }
    uri = lab.put("want.json", json.dumps(want).encode())
    attack = lab.process(ATTACK, inputs=[("want", uri, "input/want")], outputs=[("out", "out", "EndOfJob")])
    ended = lab.processed(attack)
    lines = lab.log("Processing", attack)
    tried = next((json.loads(text) for text in lines if text.startswith("{")), None)
    assert tried, (ended, lines)
    assert tried.pop("own credentials")[0] == "out", "the control: the job's own credentials are there"
    assert len(tried) >= 23
    assert {name: how for name, (outcome, how) in tried.items() if outcome != "refused"} == {}
    # Links and pipes were not followed: what was uploaded is what is the job's own.
    prefix = f"out/{attack}/out/"
    uploaded = {one["Key"].removeprefix(prefix): lab.get(one["Key"]) for one in lab.s3.list_objects_v2(Bucket=lab.bucket, Prefix=prefix).get("Contents", [])}
    assert all(keys["secret_access_key"].encode() not in body for body in uploaded.values())
    assert uploaded in ({"plain": b"plain"}, {}), (ended, uploaded)
    assert uploaded or ended["ProcessingJobStatus"] == "Failed", ended
    lab.sagemaker.stop_processing_job(ProcessingJobName=victim)
    lab.processed(victim)
    listener.close()


def test_a_flood_of_log_lines_harms_nobody(lab, instance):
    flood = lab.process("import sys\nfor n in range(300_000): print('x' * 200, n)\nprint('the end', flush=True)\n")
    quiet = lab.process("print('quiet')\n")
    assert lab.processed(quiet)["ProcessingJobStatus"] == "Completed"
    begun = time.monotonic()
    instance.client("sts").get_caller_identity()
    assert lab.processed(flood)["ProcessingJobStatus"] in OVER
    assert instance.process.poll() is None, f"the server is gone after {time.monotonic() - begun:.0f} s"
    longest = lab.process("import sys\nsys.stdout.write('y' * 30_000_000)\nprint()\nprint('after the long line')\n")
    assert lab.processed(longest)["ProcessingJobStatus"] == "Completed"
    assert all(len(line) <= 1 << 20 for line in lab.log("Processing", longest))


# Daemons that leave the session and ignore signals, writing to what will be uploaded for as long as they live.
AFTERLIFE = """
import os, signal, sys, time
for n in range(3):
    if os.fork() == 0:
        os.setsid()
        for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(one, signal.SIG_IGN)
        while True:
            open(f"/opt/ml/processing/out/alive-{n}", "a").write("x")
            time.sleep(0.02)
print("started", flush=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""


def test_nothing_is_written_after_the_end(lab, instance):
    name = lab.process(AFTERLIFE, outputs=[("out", "out", "Continuous")])
    lab.until_logged("Processing", name, "started")
    lab.sagemaker.stop_processing_job(ProcessingJobName=name)
    assert lab.processed(name, 300)["ProcessingJobStatus"] == "Stopped"
    prefix = f"out/{name}/out/"
    before = {one["Key"]: one["Size"] for one in lab.s3.list_objects_v2(Bucket=lab.bucket, Prefix=prefix).get("Contents", [])}
    time.sleep(3)
    after = {one["Key"]: one["Size"] for one in lab.s3.list_objects_v2(Bucket=lab.bucket, Prefix=prefix).get("Contents", [])}
    assert before == after
    left = [path for path in pathlib.Path("/proc").glob("[0-9]*/cmdline") if name.encode() in read(path)]
    assert left == [], "no process of the job is left"


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


# Archives that want to leave the directory they are unpacked in, as models and as code.
HOSTILE = {
    "dots": lambda entry: setattr(entry, "name", "../../../../../../tmp/tenantry-escaped"),
    "absolute": lambda entry: setattr(entry, "name", "/tmp/tenantry-escaped"),
    "symbolic link": lambda entry: (setattr(entry, "type", tarfile.SYMTYPE), setattr(entry, "linkname", "/tmp")),
    "hard link": lambda entry: (setattr(entry, "type", tarfile.LNKTYPE), setattr(entry, "linkname", "../../../../etc/passwd")),
    "device": lambda entry: (setattr(entry, "type", tarfile.BLKTYPE), setattr(entry, "devmajor", 254), setattr(entry, "devminor", 0)),
}


def hostile(kind):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("code/inference.py")
        HOSTILE[kind](entry)
        content = b"escaped" if entry.type == tarfile.REGTYPE else b""
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
        if kind == "symbolic link":
            inner = tarfile.TarInfo("code/inference.py/tenantry-escaped")
            inner.size = 7
            archive.addfile(inner, io.BytesIO(b"escaped"))
    return packed.getvalue()


def test_archives_stay_in_their_place(lab):
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
    names = {}
    for kind in HOSTILE:
        plain = kind.replace(" ", "-")
        names[kind] = name = lab.name(f"hostile-{plain}")
        uri = lab.put(f"{plain}/model.tar.gz", hostile(kind))
        lab.sagemaker.create_model(ModelName=name, ExecutionRoleArn=lab.role, PrimaryContainer={"Image": image, "ModelDataUrl": uri})
        variant = {"VariantName": "All", "ModelName": name, "InstanceType": "ml.t2.medium", "InitialInstanceCount": 1, "InitialVariantWeight": 1}
        lab.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        lab.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    for kind, name in names.items():
        describe = lambda: lab.sagemaker.describe_endpoint(EndpointName=name)  # noqa: B023
        ended = lab.wait(describe, lambda one: one["EndpointStatus"] in ("InService", "Failed"), 300)
        assert ended["EndpointStatus"] == "Failed" and ended["FailureReason"], (kind, ended)
        lab.sagemaker.delete_endpoint(EndpointName=name)
    assert not pathlib.Path("/tmp/tenantry-escaped").exists()


def test_the_control_reaches_what_the_job_does_not(instance):
    """The same from outside a sandbox: the server's port and files are there for whoever is not in one."""
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(instance.url, timeout=5)
    assert answer.value.code in (400, 403, 404, 405)
    assert "secret_access_key" in (instance.data / "administrator.json").read_text()

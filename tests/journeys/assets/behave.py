"""Processing script that does what its first argument says: the ways in which a job can go wrong, and the world it sees."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time


def reach():
    """Who the job is, and whether it can install a package: result.json in the output."""
    found = {"region": os.environ.get("AWS_REGION")}
    try:
        import boto3
        import botocore.config

        quick = botocore.config.Config(connect_timeout=3, read_timeout=20, retries={"max_attempts": 0})
        found["arn"] = boto3.client("sts", config=quick).get_caller_identity()["Arn"]
    except Exception as error:
        found["error"] = str(error)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--retries", "0", "--timeout", "15", "iniconfig==2.0.0"]
    found["installed"] = subprocess.run(pip).returncode == 0
    if found["installed"]:
        import iniconfig

        found["package"] = iniconfig.__name__
    output = pathlib.Path("/opt/ml/processing/output")
    output.mkdir(parents=True, exist_ok=True)
    (output / "result.json").write_text(json.dumps(found))
    print("found", json.dumps(found))


def pry(data, port):
    """What of the instance and of the host is within reach: result.json in the output."""
    found = {"uid": os.getuid(), "processes": len([name for name in os.listdir("/proc") if name.isdigit()]), "open": [], "reached": []}
    for path in (data, f"{data}/administrator.json", "/etc/shadow", "/root", "/proc/1/environ", "/proc/1/root/etc/shadow"):
        try:
            os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
            found["open"].append(path)
        except OSError:
            pass
    for host in ("127.0.0.1", "169.254.169.254"):
        for number in (int(port), 80):
            with socket.socket() as probe:
                probe.settimeout(2)
                if probe.connect_ex((host, number)) == 0:
                    found["reached"].append(f"{host}:{number}")
    for path in ("/usr/bin/planted", "/etc/planted", f"{os.path.dirname(os.__file__)}/planted.py"):
        try:
            open(path, "w").close()
            found["open"].append(path)
        except OSError:
            pass
    output = pathlib.Path("/opt/ml/processing/output")
    output.mkdir(parents=True, exist_ok=True)
    (output / "result.json").write_text(json.dumps(found))


def wait_for(bucket, key):
    """Fails until the object is there."""
    import boto3

    boto3.client("s3").head_object(Bucket=bucket, Key=key)
    print("found", key)


def crash():
    print("about to fail", flush=True)
    raise ValueError("the script meant to fail")


def eat():
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1 << 20)) * 64)


def sleep(seconds="3600"):
    print("sleeping", flush=True)
    time.sleep(float(seconds))


if __name__ == "__main__":
    {"reach": reach, "pry": pry, "wait_for": wait_for, "crash": crash, "eat": eat, "sleep": sleep}[sys.argv[1]](*sys.argv[2:])

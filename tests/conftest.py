"""Fixtures of the journeys: the real binary, a fresh instance, real clients.

A journey points boto3, the AWS CLI, the SageMaker SDK or a notebook at a server started here, with the
environment that `tenantry env` prints as the only difference to AWS.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import boto3
import botocore.config
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("TENANTRY_BINARY", ROOT / "target" / "debug" / "tenantry"))
ENVIRONMENTS = os.environ.get("TENANTRY_ENVIRONMENTS", str(ROOT / "target" / "environments"))
REGION = "us-east-1"


class Instance:
    """A running server with its data directory."""

    def __init__(self, data: pathlib.Path, *arguments: str):
        self.data = data
        self.arguments = arguments
        self.start()

    def start(self):
        self.log = open(self.data.parent / "server.log", "ab")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--data", self.data, "--listen", "127.0.0.1:0", "--environments", ENVIRONMENTS, *self.arguments],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            self.log.flush()
            raise RuntimeError(f"the server did not start: {(self.data.parent / 'server.log').read_text()}")
        self.url = line.split()[1]
        keys = json.loads((self.data / "administrator.json").read_text())
        self.account = keys["account"]
        self.keys = {"aws_access_key_id": keys["access_key_id"], "aws_secret_access_key": keys["secret_access_key"]}

    def stop(self):
        self.process.terminate()
        code = self.process.wait(timeout=60)
        self.log.close()
        return code

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=60)
        self.log.close()

    def restart(self):
        """Starts again after stop or kill: another port, the same state."""
        self.start()

    def session(self, credentials=None, region=REGION):
        """A boto3 session: the administrator's, or of an AssumeRole answer's credentials."""
        if credentials is None:
            keys = self.keys
        else:
            keys = {
                "aws_access_key_id": credentials["AccessKeyId"],
                "aws_secret_access_key": credentials["SecretAccessKey"],
                "aws_session_token": credentials["SessionToken"],
            }
        return boto3.Session(region_name=region, **keys)

    def client(self, service, credentials=None, region=REGION, **config):
        settings = {"retries": {"max_attempts": 1, "mode": "standard"}, "parameter_validation": False, **config}
        return self.session(credentials, region).client(service, endpoint_url=self.url, config=botocore.config.Config(**settings))

    def environment(self, credentials=None):
        """Variables for a subprocess: what `tenantry env` prints, with other keys if given."""
        printed = subprocess.run([BINARY, "env", "--data", self.data, "--json"], check=True, capture_output=True, text=True)
        variables = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | json.loads(printed.stdout)
        variables["PATH"] = f"{pathlib.Path(sys.executable).parent}:{variables['PATH']}"
        if credentials is not None:
            variables["AWS_ACCESS_KEY_ID"] = credentials["AccessKeyId"]
            variables["AWS_SECRET_ACCESS_KEY"] = credentials["SecretAccessKey"]
            variables["AWS_SESSION_TOKEN"] = credentials["SessionToken"]
        return variables

    def cli(self, *words, credentials=None, check=True):
        """Runs the AWS CLI."""
        aws = pathlib.Path(sys.executable).parent / "aws"
        done = subprocess.run([aws, *words], env=self.environment(credentials), capture_output=True, text=True, timeout=300)
        if check and done.returncode != 0:
            raise AssertionError(f"aws {' '.join(map(str, words))}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done


def start(*arguments):
    data = pathlib.Path(tempfile.mkdtemp(prefix="tenantry-")) / "data"
    data.parent.chmod(0o755)
    return Instance(data, *arguments)


@pytest.fixture(scope="module")
def instance():
    """One server for the journeys of a file that do not stop it: files may use the same names."""
    running = start()
    yield running
    if running.process.poll() is None:
        assert running.stop() == 0, "SIGTERM drains and exits 0"


@pytest.fixture
def own_instance():
    """A server of its own, for journeys that stop or fill it."""
    running = start()
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture
def wait():
    """wait(probe, until, seconds): polls until `until(probe())`, fails with the last answer."""

    def waiting(probe, until, seconds=300, every=0.3):
        end = time.monotonic() + seconds
        while True:
            answer = probe()
            if until(answer):
                return answer
            if time.monotonic() > end:
                raise AssertionError(f"not reached within {seconds} s: {answer}")
            time.sleep(every)

    return waiting


class Platform:
    """The team that runs the tenants' platform: a session named SageMaker of an execution role, as notebooks have it."""

    ROLE = "PlatformExecutionRole"
    # What a Studio user who sets up tenants needs besides AmazonSageMakerFullAccess.
    SETUP = ["iam:CreatePolicy", "iam:CreateRole", "iam:AttachRolePolicy", "iam:GetPolicy", "iam:GetRole"]

    def __init__(self, instance: Instance):
        self.instance = instance
        self.account = instance.account
        self.bucket = f"sagemaker-{REGION}-{self.account}"
        self.role = f"arn:aws:iam::{self.account}:role/{self.ROLE}"
        iam = instance.client("iam")
        trust = [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{self.account}:root"}, "Action": "sts:AssumeRole"},
        ]
        iam.create_role(RoleName=self.ROLE, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust}))
        iam.attach_role_policy(RoleName=self.ROLE, PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
        setup = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": self.SETUP, "Resource": "*"}]}
        iam.put_role_policy(RoleName=self.ROLE, PolicyName="SetUpTenants", PolicyDocument=json.dumps(setup))
        self.credentials = self.assume("SageMaker")

    def assume(self, session_name):
        """Credentials of a session of the execution role."""
        return self.instance.client("sts").assume_role(RoleArn=self.role, RoleSessionName=session_name)["Credentials"]

    def client(self, service, **config):
        return self.instance.client(service, self.credentials, **config)


@pytest.fixture(scope="module")
def platform(instance):
    return Platform(instance)


def sdk_session(platform, monkeypatch):
    """A SageMaker SDK session of the platform, in an environment as `tenantry env` prints it with the platform's keys."""
    for name, value in platform.instance.environment(platform.credentials).items():
        if name.startswith("AWS_") or name in ("HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    import sagemaker

    return sagemaker.Session(boto3.Session(region_name=REGION))


@pytest.fixture
def sdk(platform, monkeypatch):
    return sdk_session(platform, monkeypatch)

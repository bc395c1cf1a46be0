"""The front door: env, exec, profiles, the proxy for hard-wired host names, identity."""

import json
import subprocess

import boto3
import botocore.exceptions
import pytest

from conftest import BINARY


def test_caller_identity(instance):
    answer = instance.client("sts").get_caller_identity()
    assert answer["Account"] == instance.account
    assert answer["Arn"] == f"arn:aws:iam::{instance.account}:user/administrator"


def test_exec_runs_a_command_in_the_environment(instance):
    program = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    import sys

    done = subprocess.run([BINARY, "exec", "--data", instance.data, "--", sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == instance.account


def test_hard_wired_host_names_end_at_the_instance(instance):
    program = (
        "import boto3; print(boto3.client('sts', region_name='eu-west-1',"
        " endpoint_url='https://sts.eu-west-1.amazonaws.com').get_caller_identity()['Account'])"
    )
    import sys

    done = subprocess.run([sys.executable, "-c", program], env=instance.environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == instance.account


def test_cli(instance):
    answer = json.loads(instance.cli("sts", "get-caller-identity").stdout)
    assert answer["Account"] == instance.account


def test_profile_with_a_role_of_another_account(instance, tmp_path, wait):
    organizations = instance.client("organizations")
    made = organizations.create_account(Email="lab@example.com", AccountName="lab")["CreateAccountStatus"]
    status = wait(
        lambda: organizations.describe_create_account_status(CreateAccountRequestId=made["Id"])["CreateAccountStatus"],
        lambda status: status["State"] != "IN_PROGRESS",
    )
    assert status["State"] == "SUCCEEDED"
    environment = instance.environment() | {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }
    role = ["--account", status["AccountId"], "--role", "OrganizationAccountAccessRole"]
    subprocess.run([BINARY, "profile", "write", "lab", "--data", instance.data, *role], env=environment, check=True)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.pop(name)
    import sys

    program = "import boto3; print(boto3.Session(profile_name='lab').client('sts').get_caller_identity()['Arn'])"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"arn:aws:sts::{status['AccountId']}:assumed-role/OrganizationAccountAccessRole/tenantry"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"aws_secret_access_key": "x" * 40}, "SignatureDoesNotMatch"),
        ({"aws_access_key_id": "AKIAAAAAAAAAAAAAAAAA"}, "InvalidClientTokenId"),
    ],
)
def test_bad_credentials_are_refused(instance, change, code):
    client = boto3.Session(region_name="us-east-1", **(instance.keys | change)).client("sts", endpoint_url=instance.url)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        client.get_caller_identity()
    assert refused.value.response["Error"]["Code"] == code


def test_explain_a_denial(instance):
    iam = instance.client("iam")
    iam.create_user(UserName="curious")
    keys = iam.create_access_key(UserName="curious")["AccessKey"]
    client = boto3.Session(
        region_name="us-east-1", aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"]
    ).client("iam", endpoint_url=instance.url)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        client.list_users()
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert "because no identity-based policy allows the iam:ListUsers action" in str(refused.value)
    request = refused.value.response["ResponseMetadata"]["RequestId"]
    import time

    for _ in range(50):
        done = subprocess.run([BINARY, "explain", request, "--data", instance.data], capture_output=True, text=True)
        if done.returncode == 0:
            break
        time.sleep(0.1)
    assert done.returncode == 0, done.stderr
    assert "denied: iam:ListUsers" in done.stdout
    asked = subprocess.run(
        [BINARY, "explain", "--as", f"arn:aws:iam::{instance.account}:user/administrator", "--action", "iam:ListUsers", "--data", instance.data],
        capture_output=True,
        text=True,
    )
    assert "allowed: iam:ListUsers" in asked.stdout and "AdministratorAccess" in asked.stdout


def test_audit_chain_is_whole(instance):
    instance.client("iam").create_group(GroupName="audited")
    done = subprocess.run([BINARY, "audit", "verify", "--data", instance.data], capture_output=True, text=True)
    assert done.returncode == 0 and "chain whole" in done.stdout

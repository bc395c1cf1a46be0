"""Users with passwords and MFA devices, and what an administrator is told of an account: boto3 and the AWS CLI."""

import base64
import csv
import hashlib
import hmac
import io
import json
import struct
import subprocess
import time

import boto3
import botocore.exceptions
import pytest

from conftest import REGION


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
# As AWS's documentation guards an account: whoever gave no code may set up a device and nothing else.
WITHOUT_CODE = {
    "Sid": "DenyAllExceptListedIfNoMFA",
    "Effect": "Deny",
    "NotAction": ["iam:EnableMFADevice", "iam:ListMFADevices", "sts:GetSessionToken"],
    "Resource": "*",
    "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
}


def totp(seed, step):
    """RFC 6238 by hand."""
    digest = hmac.new(base64.b32decode(seed), struct.pack(">q", step), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


def step():
    return int(time.time()) // 30


def early_in_a_step():
    """The same step for the next fifteen seconds."""
    if time.time() % 30 > 15:
        time.sleep(30.5 - time.time() % 30)
    return step()


def refused(call, *arguments, **members):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(*arguments, **members)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


class User:
    """A user with a key, as boto3 clients have it."""

    def __init__(self, instance, name, *statements):
        self.instance, self.name = instance, name
        self.iam = instance.client("iam")
        self.arn = self.iam.create_user(UserName=name)["User"]["Arn"]
        if statements:
            self.allow(*statements)
        self.key = self.iam.create_access_key(UserName=name)["AccessKey"]

    def allow(self, *statements):
        self.iam.put_user_policy(UserName=self.name, PolicyName="p", PolicyDocument=policy(*statements))

    def client(self, service):
        keys = {"aws_access_key_id": self.key["AccessKeyId"], "aws_secret_access_key": self.key["SecretAccessKey"]}
        return boto3.Session(region_name=REGION, **keys).client(service, endpoint_url=self.instance.url)


def test_an_account_that_asks_for_a_code(instance):
    """Deny unless MFA, with codes computed here: by GetSessionToken, by AssumeRole, through the CLI."""
    ann = User(instance, "ann", ALL, WITHOUT_CODE)
    admin = instance.client("iam")
    device = admin.create_virtual_mfa_device(VirtualMFADeviceName="ann")["VirtualMFADevice"]
    serial, seed = device["SerialNumber"], device["Base32StringSeed"]
    assert serial == f"arn:aws:iam::{instance.account}:mfa/ann" and len(seed) == 64
    assert device["QRCodePNG"].startswith(b"\x89PNG\r\n\x1a\n")

    # Her own keys reach only what is needed to set up the device.
    assert refused(ann.client("s3").list_buckets)[0] == "AccessDenied"
    own = ann.client("iam")
    now = early_in_a_step()
    wrong = {"AuthenticationCode1": totp(seed, now), "AuthenticationCode2": totp(seed, now)}
    assert refused(own.enable_mfa_device, UserName="ann", SerialNumber=serial, **wrong)[0] == "InvalidAuthenticationCode"
    own.enable_mfa_device(
        UserName="ann", SerialNumber=serial, AuthenticationCode1=totp(seed, now - 2), AuthenticationCode2=totp(seed, now - 1)
    )
    assert [it["SerialNumber"] for it in own.list_mfa_devices()["MFADevices"]] == [serial]

    # A token without a code is denied as her keys are; IAM does not know it at all.
    sts = ann.client("sts")
    bare = sts.get_session_token()["Credentials"]
    code, text = refused(instance.client("s3", bare).list_buckets)
    assert code == "AccessDenied" and "with an explicit deny in an identity-based policy" in text
    assert refused(instance.client("iam", bare).list_users)[0] == "InvalidClientTokenId"

    # With a code everything is there, and the code counts once.
    proven = sts.get_session_token(SerialNumber=serial, TokenCode=totp(seed, now))["Credentials"]
    instance.client("s3", proven).list_buckets()
    instance.client("iam", proven).list_users()
    again = refused(sts.get_session_token, SerialNumber=serial, TokenCode=totp(seed, now))
    assert again == ("AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code. ")
    both = refused(sts.get_session_token, SerialNumber=serial)
    assert both[1] == "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."
    unable = refused(sts.get_session_token, SerialNumber=serial + "x", TokenCode="123456")
    assert unable[1].startswith("MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number")

    # A role that asks for a code that is young, by the CLI with her session, whose code is.
    condition = {"Bool": {"aws:MultiFactorAuthPresent": "true"}, "NumericLessThan": {"aws:MultiFactorAuthAge": "3600"}}
    trust = policy({"Effect": "Allow", "Principal": {"AWS": instance.account}, "Action": "sts:AssumeRole", "Condition": condition})
    role = admin.create_role(RoleName="guarded", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    admin.put_role_policy(RoleName="guarded", PolicyName="p", PolicyDocument=policy(ALL, WITHOUT_CODE))
    words = ["sts", "assume-role", "--role-arn", role, "--role-session-name", "cli"]
    assert "AccessDenied" in instance.cli(*words, credentials=bare, check=False).stderr
    session = json.loads(instance.cli(*words, credentials=proven).stdout)["Credentials"]
    instance.client("s3", session).list_buckets()
    # And with her keys and a code in the call.
    ann.allow(ALL)
    assert refused(sts.assume_role, RoleArn=role, RoleSessionName="keys")[0] == "AccessDenied"
    session = sts.assume_role(RoleArn=role, RoleSessionName="keys", SerialNumber=serial, TokenCode=totp(seed, now + 1))
    instance.client("s3", session["Credentials"]).list_buckets()

    # Guesses are bounded: after five wrong codes even a good one has to wait.
    for _ in range(5):
        assert refused(sts.get_session_token, SerialNumber=serial, TokenCode="000000")[1].endswith("one time pass code. ")
    assert "too many wrong codes" in refused(sts.get_session_token, SerialNumber=serial, TokenCode=totp(seed, step() + 1))[1]

    # The device goes first, then the user.
    assert refused(admin.delete_virtual_mfa_device, SerialNumber=serial)[1] == "MFA VirtualDevice in use. Must deactivate first."
    instance.cli("iam", "deactivate-mfa-device", "--user-name", "ann", "--serial-number", serial)
    instance.cli("iam", "delete-virtual-mfa-device", "--serial-number", serial)


def test_passwords_and_their_policy(instance):
    iam = instance.client("iam")
    bob = User(instance, "bob", {"Effect": "Allow", "Action": "iam:ChangePassword", "Resource": "arn:aws:iam::*:user/${aws:username}"})
    missing = f"The Password Policy with domain name {instance.account} cannot be found."
    assert refused(iam.get_account_password_policy) == ("NoSuchEntity", missing)
    instance.cli(
        *["iam", "update-account-password-policy", "--minimum-password-length", "10", "--require-symbols"],
        *["--password-reuse-prevention", "1", "--max-password-age", "90"],
    )
    rules = iam.get_account_password_policy()["PasswordPolicy"]
    assert (rules["MinimumPasswordLength"], rules["RequireSymbols"], rules["ExpirePasswords"]) == (10, True, True)
    short = refused(iam.create_login_profile, UserName="bob", Password="sh0rt!")
    assert short == ("PasswordPolicyViolation", "Password should have a minimum length of 10")
    made = iam.create_login_profile(UserName="bob", Password="first-password", PasswordResetRequired=True)["LoginProfile"]
    assert made["UserName"] == "bob" and made["PasswordResetRequired"]
    own = bob.client("iam")
    assert refused(own.change_password, OldPassword="first-password", NewPassword="first-password")[0] == "PasswordPolicyViolation"
    assert refused(own.change_password, OldPassword="guess", NewPassword="second-password")[0] == "AccessDenied"
    own.change_password(OldPassword="first-password", NewPassword="second-password")
    assert not iam.get_login_profile(UserName="bob")["LoginProfile"]["PasswordResetRequired"]
    iam.delete_user_policy(UserName="bob", PolicyName="p")
    iam.delete_access_key(UserName="bob", AccessKeyId=bob.key["AccessKeyId"])
    assert refused(iam.delete_user, UserName="bob") == ("DeleteConflict", "Cannot delete entity, must delete login profile first.")
    iam.delete_login_profile(UserName="bob")
    iam.delete_user(UserName="bob")
    iam.delete_account_password_policy()


def test_last_uses_and_reports(instance, wait):
    iam = instance.client("iam")
    cat = User(instance, "cat", {"Effect": "Allow", "Action": ["s3:ListAllMyBuckets", "sts:*"], "Resource": "*"})
    used = iam.get_access_key_last_used(AccessKeyId=cat.key["AccessKeyId"])
    assert used["UserName"] == "cat" and used["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}
    cat.client("s3").list_buckets()
    used = wait(
        lambda: iam.get_access_key_last_used(AccessKeyId=cat.key["AccessKeyId"])["AccessKeyLastUsed"], lambda it: "LastUsedDate" in it
    )
    assert (used["ServiceName"], used["Region"]) == ("s3", REGION)
    assert abs(used["LastUsedDate"].timestamp() - time.time()) < 300

    trust = policy({"Effect": "Allow", "Principal": {"AWS": cat.arn}, "Action": "sts:AssumeRole"})
    role = iam.create_role(RoleName="cats", AssumeRolePolicyDocument=trust)["Role"]
    assert iam.get_role(RoleName="cats")["Role"]["RoleLastUsed"] == {}
    session = cat.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="s1")["Credentials"]
    instance.client("sts", session).get_caller_identity()
    last = wait(lambda: iam.get_role(RoleName="cats")["Role"]["RoleLastUsed"], lambda it: "LastUsedDate" in it)
    assert last["Region"] == REGION

    # The credential report, as auditors fetch it.
    wait(lambda: json.loads(instance.cli("iam", "generate-credential-report").stdout)["State"], lambda state: state == "COMPLETE")
    answer = iam.get_credential_report()
    assert answer["ReportFormat"] == "text/csv"
    rows = {row["user"]: row for row in csv.DictReader(io.StringIO(answer["Content"].decode()))}
    assert {"<root_account>", "administrator", "cat"} <= rows.keys()
    line = rows["cat"]
    assert (line["arn"], line["password_enabled"], line["mfa_active"]) == (cat.arn, "false", "false")
    assert (line["access_key_1_active"], line["access_key_1_last_used_service"], line["access_key_2_active"]) == ("true", "s3", "false")

    # Everything that an account allows anybody, as `> iam_snapshot.json` has it.
    printed = instance.cli("iam", "get-account-authorization-details").stdout
    snapshot = json.loads(printed)
    assert any(it["UserName"] == "cat" and it["UserPolicyList"][0]["PolicyName"] == "p" for it in snapshot["UserDetailList"])
    assert any(it["RoleName"] == "cats" and "LastUsedDate" in it["RoleLastUsed"] for it in snapshot["RoleDetailList"])
    pages = iam.get_paginator("get_account_authorization_details").paginate(PaginationConfig={"PageSize": 1})
    found = [it for page in pages for it in page["UserDetailList"] + page["GroupDetailList"] + page["RoleDetailList"] + page["Policies"]]
    assert len(found) == sum(len(snapshot[of]) for of in ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"))

    # When each service was last asked for anything.
    job = iam.generate_service_last_accessed_details(Arn=cat.arn)["JobId"]
    services = {it["ServiceNamespace"]: it for it in iam.get_service_last_accessed_details(JobId=job)["ServicesLastAccessed"]}
    assert services.keys() == {"s3", "sts"}
    assert services["s3"]["LastAuthenticatedEntity"] == cat.arn
    granting = iam.list_policies_granting_service_access(Arn=cat.arn, ServiceNamespaces=["s3", "iam"])
    assert [len(it["Policies"]) for it in granting["PoliciesGrantingServiceAccess"]] == [1, 0]
    summary = iam.get_account_summary()["SummaryMap"]
    assert summary["Users"] >= 2 and "MFADevicesInUse" in summary


def test_further_credentials_of_a_user(instance, tmp_path):
    iam = instance.client("iam")
    iam.create_user(UserName="dan")
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", tmp_path / "key"], check=True)
    listed = subprocess.run(["ssh-keygen", "-E", "md5", "-lf", tmp_path / "key.pub"], check=True, capture_output=True, text=True)
    made = iam.upload_ssh_public_key(UserName="dan", SSHPublicKeyBody=(tmp_path / "key.pub").read_text())["SSHPublicKey"]
    assert f"MD5:{made['Fingerprint']} " in listed.stdout, "the fingerprint is ssh-keygen's"
    shown = iam.get_ssh_public_key(UserName="dan", SSHPublicKeyId=made["SSHPublicKeyId"], Encoding="PEM")["SSHPublicKey"]
    (tmp_path / "key.pem").write_text(shown["SSHPublicKeyBody"])
    back = subprocess.run(["ssh-keygen", "-i", "-m", "PKCS8", "-f", tmp_path / "key.pem"], check=True, capture_output=True, text=True)
    assert back.stdout.split()[1] == (tmp_path / "key.pub").read_text().split()[1], "the PEM is the same key"
    git = iam.create_service_specific_credential(UserName="dan", ServiceName="codecommit.amazonaws.com")["ServiceSpecificCredential"]
    assert git["ServiceUserName"] == f"dan-at-{instance.account}" and len(git["ServicePassword"]) == 44
    assert refused(iam.delete_user, UserName="dan")[1] == "Cannot delete entity, must remove referenced objects first."
    iam.delete_service_specific_credential(UserName="dan", ServiceSpecificCredentialId=git["ServiceSpecificCredentialId"])
    iam.delete_ssh_public_key(UserName="dan", SSHPublicKeyId=made["SSHPublicKeyId"])
    iam.delete_user(UserName="dan")

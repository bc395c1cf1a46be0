"""Why a request was denied: with the AWS CLI and `tenantry explain`, and by the operations of the service `tenantry`."""

import json
import re
import subprocess
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest

from conftest import BINARY, REGION


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def explain(instance, *words, json_out=True):
    """`tenantry explain`, by the instance's operator."""
    words = [BINARY, "explain", *words, "--data", instance.data, *(["--json"] if json_out else [])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if json_out else done.stdout


def ask(instance, keys, operation, **parameters):
    """An operation of the service `tenantry`, signed as any client signs. Answers (status, document)."""
    body = json.dumps(parameters).encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"Tenantry.{operation}"}
    request = botocore.awsrequest.AWSRequest(method="POST", url=instance.url + "/", data=body, headers=headers)
    credentials = botocore.credentials.Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys.get("SessionToken"))
    botocore.auth.SigV4Auth(credentials, "tenantry", REGION).add_auth(request)
    prepared = urllib.request.Request(instance.url + "/", data=body, headers=dict(request.headers.items()), method="POST")
    try:
        with urllib.request.urlopen(prepared, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


@pytest.fixture(scope="module")
def people(instance):
    """Roles and a user of the management account, and two experiments of two tenants."""
    iam, sagemaker = instance.client("iam"), instance.client("sagemaker")
    account = instance.account
    trust = policy({"Effect": "Allow", "Principal": {"AWS": account}, "Action": ["sts:AssumeRole", "sts:TagSession"]})
    iam.create_role(RoleName="Tenant", AssumeRolePolicyDocument=trust)
    own = {
        "Sid": "OwnTenant",
        "Effect": "Allow",
        "Action": ["sagemaker:DescribeExperiment", "sagemaker:AddTags"],
        "Resource": f"arn:aws:sagemaker:*:{account}:experiment/*",
        "Condition": {"StringEquals": {"aws:ResourceTag/TenantID": "${aws:PrincipalTag/TenantID}"}},
    }
    iam.put_role_policy(RoleName="Tenant", PolicyName="Own", PolicyDocument=policy(own))
    for name in ("tenant1", "tenant2"):
        sagemaker.create_experiment(ExperimentName=f"{name}-one", Tags=[{"Key": "TenantID", "Value": name}])
    iam.create_user(UserName="ann")
    return iam.create_access_key(UserName="ann")["AccessKey"] | {"SessionToken": None}


def tenant(instance, name):
    role = f"arn:aws:iam::{instance.account}:role/Tenant"
    tags = [{"Key": "TenantID", "Value": name}]
    return instance.client("sts").assume_role(RoleArn=role, RoleSessionName=name, Tags=tags)["Credentials"]


def denied(instance, keys, service, operation, wait, **parameters):
    """The refusal's message and its authorization id, once it is kept."""
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        getattr(instance.client(service, keys), operation)(**parameters)
    answer = refused.value.response
    id = answer["ResponseMetadata"]["RequestId"]
    probe = lambda: subprocess.run([BINARY, "explain", id, "--data", instance.data], capture_output=True).returncode
    wait(probe, lambda code: code == 0, seconds=20)
    return answer["Error"]["Message"], id


def test_another_tenants_experiment(instance, people, wait):
    """Both values of the condition, where it stands, and a change that makes the call good."""
    message, id = denied(instance, tenant(instance, "tenant1"), "sagemaker", "describe_experiment", wait, ExperimentName="tenant2-one")
    assert message.endswith("because no identity-based policy allows the sagemaker:DescribeExperiment action")
    told = explain(instance, id)
    [check] = told["explanation"]["checks"]
    assert check["principalTags"] == {"TenantID": "tenant1"} and check["resourceTags"] == {"TenantID": "tenant2"}
    [identity] = [layer for layer in check["explanation"]["layers"] if layer["layer"] == "identity"]
    near = identity["nearest"]
    assert (near["policy"], near["sid"], near["pointer"]) == ("Tenant/Own", "OwnTenant", "/Statement/0")
    [condition] = near["conditions"]
    assert condition["expected"] == ["${aws:PrincipalTag/TenantID}"]
    assert (condition["resolved"], condition["actual"]) == (["tenant1"], ["tenant2"])
    words = explain(instance, id, json_out=False)
    assert "wants ${aws:PrincipalTag/TenantID} = tenant1 and the request has tenant2" in words
    assert "make the session with the tag TenantID=tenant2 (it is tenant1)" in words
    [change] = check["change"]["changes"]
    [call] = change["calls"]
    assert (change["kind"], call["operation"]) == ("session", "AssumeRole")
    again = instance.client("sts").assume_role(**call["input"])["Credentials"]
    assert instance.client("sagemaker", again).describe_experiment(ExperimentName="tenant2-one")["ExperimentName"] == "tenant2-one"


def test_the_change_is_made_with_the_aws_cli(instance, people, wait):
    """What `explain` names is what the AWS CLI takes."""
    done = instance.cli("iam", "list-roles", credentials=people | {"SessionToken": ""}, check=False)
    assert "because no identity-based policy allows the iam:ListRoles action" in done.stderr
    _, id = denied(instance, people, "iam", "list_roles", wait)
    [change] = explain(instance, id)["explanation"]["checks"][0]["change"]["changes"]
    [call] = change["calls"]
    assert (call["service"], call["operation"]) == ("iam", "PutUserPolicy")
    statement = json.loads(call["input"]["PolicyDocument"])["Statement"]
    assert statement == [{"Effect": "Allow", "Action": "iam:ListRoles", "Resource": f"arn:aws:iam::{instance.account}:role/"}]
    instance.cli("iam", "put-user-policy", "--cli-input-json", json.dumps(call["input"]))
    assert "Tenant" in {role["RoleName"] for role in instance.client("iam", people).list_roles()["Roles"]}


def test_by_an_operation(instance, people, wait):
    """The same by a signed request, itself authorized; another account is told nothing."""
    _, id = denied(instance, people, "iam", "list_groups", wait)
    admin = {"AccessKeyId": instance.keys["aws_access_key_id"], "SecretAccessKey": instance.keys["aws_secret_access_key"]}
    status, answer = ask(instance, people, "ExplainAuthorization", AuthorizationId=id)
    assert (status, answer["__type"]) == (400, "AccessDeniedException")
    assert "tenantry:ExplainAuthorization" in (answer.get("message") or answer.get("Message"))
    status, answer = ask(instance, admin, "ExplainAuthorization", AuthorizationId=id)
    assert status == 200, answer
    [check] = answer["Explanation"]["explanation"]["checks"]
    assert (check["action"], check["allowed"]) == ("iam:ListGroups", False)
    assert check["change"]["changes"][0]["kind"] in ("add-policy", "add-statement")
    status, answer = ask(instance, admin, "ExplainAuthorization", AuthorizationId="no-such-request")
    assert (status, answer["__type"]) == (400, "NoSuchAuthorizationException")
    role = f"arn:aws:iam::{instance.account}:role/Tenant"
    one = f"arn:aws:sagemaker:{REGION}:{instance.account}:experiment/tenant1-one"
    status, answer = ask(
        instance, admin, "EvaluateAuthorization", PrincipalArn=role, ActionName="sagemaker:DescribeExperiment", ResourceArn=one,
        Context={"aws:PrincipalTag/TenantID": "tenant1"},
    )
    assert status == 200 and answer["Explanation"]["checks"][0]["allowed"] is True, answer
    status, answer = ask(instance, admin, "EvaluateAuthorization", PrincipalArn="arn:aws:iam::999999999999:role/x", ActionName="s3:GetObject")
    assert (status, answer["__type"]) == (400, "ValidationException")


def test_who_can_and_what_can_be_done(instance, people):
    """Before anybody does: by the command and by the operations."""
    one = f"arn:aws:sagemaker:{REGION}:{instance.account}:experiment/tenant1-one"
    reach = explain(instance, "--can-reach", "--action", "sagemaker:DescribeExperiment", "--resource", one)
    found = {who["principal"].rsplit("/", 1)[-1]: who for who in reach["principals"]}
    assert found["administrator"]["answer"] == "allowed" and "ann" not in found
    assert found["Tenant"]["answer"] == "conditional"
    assert {on["key"] for on in found["Tenant"]["depends"]} == {"aws:ResourceTag/TenantID"}
    words = explain(instance, "--can-reach", "--action", "sagemaker:DescribeExperiment", "--resource", one, json_out=False)
    assert re.search(r"conditional .*:role/Tenant\n\s+if StringEquals aws:ResourceTag/TenantID", words)
    role = f"arn:aws:iam::{instance.account}:role/Tenant"
    what = explain(instance, "--can-reach", "--as", role)
    [permission] = what["permissions"]
    assert permission["actions"] == ["sagemaker:AddTags", "sagemaker:DescribeExperiment"]
    assert permission["resources"] == [f"arn:aws:sagemaker:*:{instance.account}:experiment/*"]
    admin = {"AccessKeyId": instance.keys["aws_access_key_id"], "SecretAccessKey": instance.keys["aws_secret_access_key"]}
    status, answer = ask(instance, admin, "ListReachablePrincipals", ActionName="sagemaker:DescribeExperiment", ResourceArn=one)
    assert status == 200 and {who["principal"] for who in answer["Principals"]} >= {role}, answer
    status, answer = ask(instance, admin, "ListPermissions", PrincipalArn=role)
    assert status == 200 and answer["Permissions"] == what["permissions"], answer

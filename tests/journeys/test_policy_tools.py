"""Policies evaluated and checked without an instance, and `ValidatePolicy` with real clients."""

import json
import subprocess

import boto3
import botocore.exceptions
import pytest

from conftest import BINARY, REGION

ALICE = "arn:aws:iam::111111111111:user/alice"


def tool(*words, text=None):
    """`tenantry policy`: exit code, lines of standard output."""
    done = subprocess.run([BINARY, "policy", *words], input=text, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout.splitlines()


def policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


def case(name, document, resource="arn:aws:s3:::b/k"):
    request = {"principal": ALICE, "action": "s3:GetObject", "resource": resource, "context": {}}
    return {"id": name, "policies": {"identity": [document]}, "request": request}


def test_cases_are_answered_in_order(tmp_path):
    allow = policy({"Sid": "Read", "Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::b/*"})
    deny = policy({"Effect": "Deny", "Action": "*", "Resource": "*"})
    cases = [case("allowed", allow), case("other", allow, "arn:aws:s3:::c/k"), case("denied", deny)]
    file = tmp_path / "cases.jsonl"
    file.write_text("\n".join(map(json.dumps, cases)) + "\n")
    code, lines = tool("evaluate", "--cases", file, "--json")
    answers = [json.loads(line) for line in lines]
    assert code == 0
    assert [(answer["id"], answer["decision"]) for answer in answers] == [
        ("allowed", "Allow"), ("other", "ImplicitDeny"), ("denied", "ExplicitDeny")]
    assert answers[0]["statements"] == [{"policy": "identity[0]", "index": 0, "sid": "Read", "effect": "Allow"}]
    code, table = tool("evaluate", "--cases", file)
    assert code == 0 and table[1].startswith("other") and "no identity-based policy allows" in table[1]


def test_a_bad_case_does_not_stop_the_others():
    good = json.dumps(case(2, policy({"Effect": "Allow", "Action": "*", "Resource": "*"})))
    bad = json.dumps(case(1, {"Statement": 5}))
    code, lines = tool("evaluate", "--cases", "-", "--json", text=f"{bad}\nnot json\n{'x' * (5 << 20)}\n{good}\n")
    answers = [json.loads(line) for line in lines]
    assert code == 1
    assert answers[0] == {"id": 1, "error": "policies.identity[0]: Syntax errors in policy."}
    assert set(answers[1]) == {"error"} and "longer than" in answers[2]["error"]
    assert answers[3]["decision"] == "Allow"


def test_findings_have_a_place(tmp_path):
    file = tmp_path / "policy.json"
    file.write_text('{\n "Version": "2012-10-17",\n "Statement": {"Effect": "Allow",\n  "Action": "s3:GetObjekt", "Resource": "*"}\n}')
    code, lines = tool("validate", file)
    assert code == 1
    assert lines == [f"{file}:4:13: ERROR INVALID_ACTION: `s3` has no action `GetObjekt`; did you mean `GetObject`? (at Statement.Action)"]
    code, lines = tool("validate", file, "--json", "--type", "scp")
    assert code == 1 and json.loads(lines[0])["code"] == "INVALID_ACTION"
    file.write_text(json.dumps(policy({"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"})))
    code, lines = tool("validate", file)
    assert code == 0 and "SECURITY_WARNING PASS_ROLE_WITH_STAR_IN_RESOURCE" in lines[0]
    file.write_text(json.dumps(policy({"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "sts:AssumeRole"})))
    assert tool("validate", file, "--type", "trust") == (0, [])


def test_validate_policy_with_boto3(instance):
    analyzer = boto3.client("accessanalyzer", region_name=REGION, endpoint_url=instance.url, **instance.keys)
    document = json.dumps(policy({"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjekt"], "Resource": "*"}))
    [finding] = analyzer.validate_policy(policyDocument=document, policyType="IDENTITY_POLICY")["findings"]
    assert (finding["findingType"], finding["issueCode"]) == ("ERROR", "INVALID_ACTION")
    [location] = finding["locations"]
    assert location["path"] == [{"value": "Statement"}, {"index": 0}, {"value": "Action"}, {"index": 1}]
    span = location["span"]
    assert document[span["start"]["offset"]:span["end"]["offset"]] == '"s3:GetObjekt"'
    assert finding["learnMoreLink"].startswith("https://docs.aws.amazon.com/IAM/")
    many = json.dumps(policy(*({"Effect": "Allow", "Action": f"s3:No{n}", "Resource": "*"} for n in range(30))))
    pages = analyzer.get_paginator("validate_policy").paginate(
        policyDocument=many, policyType="IDENTITY_POLICY", PaginationConfig={"PageSize": 7})
    found = [finding for page in pages for finding in page["findings"]]
    assert len(found) == 30
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        analyzer.validate_policy(policyDocument=many, policyType="IDENTITY_POLICY", nextToken="nonsense")
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_validate_policy_needs_permission_and_knows_trust_policies(instance):
    iam = boto3.client("iam", region_name=REGION, endpoint_url=instance.url, **instance.keys)
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    analyzer = boto3.client("accessanalyzer", region_name=REGION, endpoint_url=instance.url, **keys)
    trust = json.dumps(policy({"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}))
    call = {"policyDocument": trust, "policyType": "RESOURCE_POLICY", "validatePolicyResourceType": "AWS::IAM::AssumeRolePolicyDocument"}
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        analyzer.validate_policy(**call)
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    assert "is not authorized to perform: access-analyzer:ValidatePolicy" in str(refused.value)
    document = json.dumps(policy({"Effect": "Allow", "Action": "access-analyzer:ValidatePolicy", "Resource": "*"}))
    iam.put_user_policy(UserName="nobody", PolicyName="p", PolicyDocument=document)
    codes = [finding["issueCode"] for finding in analyzer.validate_policy(**call)["findings"]]
    assert codes == ["RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL"]

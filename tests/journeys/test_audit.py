"""Audit: who did what is found again by LookupEvents, delivered to a bucket, and tampering is seen."""

import csv
import gzip
import io
import json
import sqlite3
import subprocess

import botocore.exceptions
import pytest

from conftest import BINARY, REGION

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": "*"}]}


def audit(instance, *words):
    return subprocess.run([BINARY, "audit", *words, "--data", instance.data], capture_output=True, text=True, timeout=60)


def looked_up(instance, key, value, **more):
    """The events that an attribute finds, as CloudTrail's documents."""
    pages = instance.client("cloudtrail").get_paginator("lookup_events")
    attributes = [{"AttributeKey": key, "AttributeValue": value}]
    found = [event for page in pages.paginate(LookupAttributes=attributes, **more) for event in page["Events"]]
    return [json.loads(event["CloudTrailEvent"]) | {"_": event} for event in found]


@pytest.fixture(scope="module")
def people(instance):
    """A user with keys and a password, and a role that the user may assume as somebody."""
    iam = instance.client("iam")
    iam.create_user(UserName="auditee")
    key = iam.create_access_key(UserName="auditee")["AccessKey"]
    iam.put_user_policy(
        UserName="auditee",
        PolicyName="assume",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["sts:*"], "Resource": "*"}]}),
    )
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{instance.account}:root"},
                "Action": ["sts:AssumeRole", "sts:SetSourceIdentity"],
            }
        ],
    }
    role = iam.create_role(RoleName="Audited", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    iam.put_role_policy(RoleName="Audited", PolicyName="logs", PolicyDocument=json.dumps(POLICY))
    own = {"AccessKeyId": key["AccessKeyId"], "SecretAccessKey": key["SecretAccessKey"], "SessionToken": None}
    session = instance.client("sts", own).assume_role(RoleArn=role["Arn"], RoleSessionName="work", SourceIdentity="alice")["Credentials"]
    return {"key": key, "own": own, "role": role, "session": session}


def test_changes_reads_and_denials_are_found(instance, people, wait):
    instance.client("logs", people["session"]).create_log_group(logGroupName="audited")
    instance.client("sts", people["own"]).get_caller_identity()
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        instance.client("iam", people["own"]).create_group(GroupName="forbidden")
    assert refused.value.response["Error"]["Code"] == "AccessDenied"

    [denied] = wait(lambda: [e for e in looked_up(instance, "EventName", "CreateGroup") if "errorCode" in e], bool, 30)
    assert denied["errorCode"] == "AccessDenied"
    assert "is not authorized to perform: iam:CreateGroup" in denied["errorMessage"]
    assert denied["requestID"] == refused.value.response["ResponseMetadata"]["RequestId"]
    assert denied["requestParameters"] == {"groupName": "forbidden"}
    assert denied["eventSource"] == "iam.amazonaws.com" and denied["_"]["Username"] == "auditee"
    assert denied["sourceIPAddress"] == "127.0.0.1" and "Boto3" in denied["userAgent"]

    [change] = looked_up(instance, "ResourceName", "audited")
    assert (change["eventName"], change["readOnly"], change["awsRegion"]) == ("CreateLogGroup", False, REGION)
    identity = change["userIdentity"]
    assert identity["type"] == "AssumedRole" and identity["arn"].endswith(":assumed-role/Audited/work")
    issuer = identity["sessionContext"]["sessionIssuer"]
    assert (issuer["type"], issuer["arn"], issuer["userName"]) == ("Role", people["role"]["Arn"], "Audited")
    assert identity["sessionContext"]["sourceIdentity"] == "alice"
    assert change["_"]["Username"] == "work" and change["_"]["AccessKeyId"] == people["session"]["AccessKeyId"]
    assert {"ResourceType": "AWS::Logs::LogGroup", "ResourceName": "audited"} in change["_"]["Resources"]

    [assumed] = looked_up(instance, "EventName", "AssumeRole")
    assert assumed["requestParameters"]["sourceIdentity"] == "alice"
    kept = assumed["responseElements"]["credentials"]
    assert kept["accessKeyId"] == people["session"]["AccessKeyId"]
    assert kept["sessionToken"] == kept["secretAccessKey"] == "HIDDEN_DUE_TO_SECURITY_REASONS"

    reads = looked_up(instance, "AccessKeyId", people["key"]["AccessKeyId"])
    assert "GetCallerIdentity" in {event["eventName"] for event in reads}
    assert all(not event["readOnly"] for event in looked_up(instance, "ReadOnly", "false"))
    [same] = looked_up(instance, "EventId", change["eventID"])
    assert same["eventID"] == change["eventID"]


def test_pages_and_bounds(instance, people):
    trail = instance.client("cloudtrail")
    seen, token = [], None
    while len(seen) < 6:
        answer = trail.lookup_events(MaxResults=2, **({"NextToken": token} if token else {}))
        seen += [event["EventId"] for event in answer["Events"]]
        token = answer["NextToken"]
    assert len(set(seen)) == len(seen) and len(answer["Events"]) == 2
    for wrong, code in [
        ({"NextToken": "bm9uc2Vuc2U"}, "InvalidNextTokenException"),
        ({"NextToken": token, "LookupAttributes": [{"AttributeKey": "Username", "AttributeValue": "x"}]}, "InvalidNextTokenException"),
        ({"StartTime": 2000000000, "EndTime": 1000000000}, "InvalidTimeRangeException"),
        ({"MaxResults": 51}, "InvalidMaxResultsException"),
    ]:
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            trail.lookup_events(**wrong)
        assert refused.value.response["Error"]["Code"] in (code, "ValidationException"), wrong
    assert trail.lookup_events(EndTime=1000000000)["Events"] == []
    elsewhere = instance.client("cloudtrail", region="eu-west-1").lookup_events()["Events"]
    assert all(json.loads(event["CloudTrailEvent"])["awsRegion"] == "eu-west-1" for event in elsewhere)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        instance.client("cloudtrail", people["own"]).lookup_events()
    assert "is not authorized to perform: cloudtrail:LookupEvents" in str(refused.value)


def test_secrets_are_not_in_the_log(instance, people):
    password = "Corr3ct-horse-battery-staple!"
    instance.client("iam").create_login_profile(UserName="auditee", Password=password)
    model = {"Image": f"{instance.account}.dkr.ecr.us-east-1.amazonaws.com/i:1", "Environment": {"TOKEN": "canary-in-environment"}}
    with pytest.raises(botocore.exceptions.ClientError):
        instance.client("sagemaker", people["own"]).create_model(ModelName="m", PrimaryContainer=model, ExecutionRoleArn=people["role"]["Arn"])
    exported = audit(instance, "export").stdout
    assert "CreateLoginProfile" in exported and "CreateAccessKey" in exported and "AssumeRole" in exported
    for secret in (
        password,
        people["key"]["SecretAccessKey"],
        people["session"]["SecretAccessKey"],
        people["session"]["SessionToken"],
        instance.keys["aws_secret_access_key"],
        "canary-in-environment",
    ):
        assert secret not in exported
    with sqlite3.connect(instance.data / "store" / "tenantry.db") as raw:
        for (text,) in raw.execute("SELECT text FROM event"):
            assert password not in text and people["session"]["SessionToken"] not in text


def test_the_commands(instance, people):
    tail = audit(instance, "tail", "--lines", "1000").stdout
    line = next(line for line in tail.splitlines() if "logs:CreateLogGroup" in line)
    assert " ok " in line and ":assumed-role/Audited/work (alice) " in line and "on audited" in line
    assert any("AccessDenied" in line and "iam:CreateGroup" in line for line in tail.splitlines())
    events = [json.loads(line) for line in audit(instance, "tail", "-n", "5", "--json").stdout.splitlines()]
    assert len(events) == 5 and all(event["eventVersion"] == "1.11" for event in events)
    rows = list(csv.DictReader(io.StringIO(audit(instance, "export", "--csv").stdout)))
    assert {"CreateLogGroup", "GetCallerIdentity"} <= {row["eventName"] for row in rows}
    assert next(row for row in rows if row["eventName"] == "CreateLogGroup")["sourceIdentity"] == "alice"
    assert audit(instance, "export", "--to", "2020-01-01").stdout == ""
    assert audit(instance, "export", "--from", "yesterday").returncode == 2
    verified = audit(instance, "verify")
    assert verified.returncode == 0 and "chain whole" in verified.stdout
    followed = subprocess.Popen(
        [BINARY, "audit", "tail", "--follow", "--lines", "1", "--data", instance.data], stdout=subprocess.PIPE, text=True
    )
    try:
        instance.client("iam").create_group(GroupName="followed")
        assert any("on followed" in line for line in iter(followed.stdout.readline, ""))
    finally:
        followed.kill()
        followed.wait()


def test_the_aws_cli(instance, people):
    answer = json.loads(
        instance.cli("cloudtrail", "lookup-events", "--lookup-attributes", "AttributeKey=EventName,AttributeValue=CreateLogGroup").stdout
    )
    assert [event["EventSource"] for event in answer["Events"]] == ["logs.amazonaws.com"]


def bucket_policy(account, bucket, name, prefix=""):
    arn = f"arn:aws:cloudtrail:{REGION}:{account}:trail/{name}"
    service = {"Service": "cloudtrail.amazonaws.com"}
    source = {"aws:SourceArn": arn}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AclCheck",
                "Effect": "Allow",
                "Principal": service,
                "Action": "s3:GetBucketAcl",
                "Resource": f"arn:aws:s3:::{bucket}",
                "Condition": {"StringEquals": source},
            },
            {
                "Sid": "Write",
                "Effect": "Allow",
                "Principal": service,
                "Action": "s3:PutObject",
                "Resource": f"arn:aws:s3:::{bucket}/{prefix}AWSLogs/{account}/*",
                "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"} | source},
            },
        ],
    }


def test_a_trail_delivers_to_a_bucket(instance, wait):
    s3, trail = instance.client("s3"), instance.client("cloudtrail")
    bucket = "audit-trail-journey"
    s3.create_bucket(Bucket=bucket)
    wanted = {"Name": "journey", "S3BucketName": bucket, "S3KeyPrefix": "kept"}
    for settings, code in [
        (wanted, "InsufficientS3BucketPolicyException"),
        (wanted | {"S3BucketName": "audit-no-such-bucket"}, "S3BucketDoesNotExistException"),
        (wanted | {"Name": "x"}, "InvalidTrailNameException"),
        (wanted | {"KmsKeyId": "alias/k"}, "UnsupportedOperationException"),
        (wanted | {"IsOrganizationTrail": True}, "UnsupportedOperationException"),
    ]:
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            trail.create_trail(**settings)
        assert refused.value.response["Error"]["Code"] == code
    # The policy of another trail does not do.
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(bucket_policy(instance.account, bucket, "other", "kept/")))
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        trail.create_trail(**wanted)
    assert refused.value.response["Error"]["Code"] == "InsufficientS3BucketPolicyException"
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(bucket_policy(instance.account, bucket, "journey", "kept/")))
    made = trail.create_trail(**wanted, TagsList=[{"Key": "Team", "Value": "audit"}])
    assert made["TrailARN"] == f"arn:aws:cloudtrail:{REGION}:{instance.account}:trail/journey"
    assert trail.list_tags(ResourceIdList=[made["TrailARN"]])["ResourceTagList"][0]["TagsList"] == [{"Key": "Team", "Value": "audit"}]
    assert trail.get_trail_status(Name="journey")["IsLogging"] is False
    selectors = [{"ReadWriteType": "All", "DataResources": [{"Type": "AWS::S3::Object", "Values": [f"arn:aws:s3:::{bucket}/watched"]}]}]
    trail.put_event_selectors(TrailName="journey", EventSelectors=selectors)
    trail.start_logging(Name="journey")
    assert trail.get_trail_status(Name="journey")["IsLogging"] is True
    instance.client("iam").create_user(UserName="delivered")
    s3.put_object(Bucket=bucket, Key="watched/1", Body=b"x")
    s3.put_object(Bucket=bucket, Key="unwatched", Body=b"x")

    def files():
        listed = s3.list_objects_v2(Bucket=bucket, Prefix="kept/AWSLogs/").get("Contents", [])
        return [object["Key"] for object in listed if object["Key"].endswith(".json.gz")]

    [key] = wait(files, bool, 90)
    folder, name = key.rsplit("/", 1)
    assert folder.startswith(f"kept/AWSLogs/{instance.account}/CloudTrail/{REGION}/20")
    assert name.startswith(f"{instance.account}_CloudTrail_{REGION}_20")
    stored = s3.get_object(Bucket=bucket, Key=key)
    records = json.loads(gzip.decompress(stored["Body"].read()))["Records"]
    created = next(record for record in records if record["eventName"] == "CreateUser")
    assert created["requestParameters"] == {"userName": "delivered"}
    assert created["responseElements"]["user"]["userName"] == "delivered"
    objects = [record["requestParameters"]["key"] for record in records if record["eventName"] == "PutObject"]
    assert objects == ["watched/1"], "data events only as selected"
    status = trail.get_trail_status(Name="journey")
    assert "LatestDeliveryTime" in status and "LatestDeliveryError" not in status
    trail.stop_logging(Name="journey")
    trail.delete_trail(Name="journey")
    assert trail.list_trails()["Trails"] == []


def test_tampering_is_found(own_instance):
    for n in range(3):
        own_instance.client("iam").create_group(GroupName=f"g{n}")
    own_instance.stop()
    with sqlite3.connect(own_instance.data / "store" / "tenantry.db") as raw:
        [(seq,)] = raw.execute("SELECT seq FROM event WHERE text LIKE '%\"groupName\":\"g1\"%' AND text LIKE '%eventName%'")
        raw.execute("UPDATE event SET text = replace(text, '\"g1\"', '\"g7\"') WHERE seq = ?", [seq])
    raw.close()
    verified = audit(own_instance, "verify")
    assert verified.returncode == 1 and f"the chain is broken at event {seq}" in verified.stderr

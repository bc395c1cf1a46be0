"""Turns between accounts, service quotas and volumes, with real clients and real jobs."""

import concurrent.futures
import json
import time

import botocore.exceptions
import pytest

from conftest import REGION
from tenants import refused, script_image

TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
MANY = 500
QUOTA = "ml.m5.large for training job usage"
OVER = ("Completed", "Failed", "Stopped")


class Tenant:
    """An account with a role and a bucket for its jobs."""

    def __init__(self, instance, account, credentials=None):
        self.account, self.credentials, self.instance = account, credentials, instance
        self.bucket = f"jobs-{account}"
        self.role = f"arn:aws:iam::{account}:role/Jobs"
        iam = self.client("iam")
        iam.create_role(RoleName="Jobs", AssumeRolePolicyDocument=json.dumps(TRUST))
        iam.put_role_policy(RoleName="Jobs", PolicyName="data", PolicyDocument=json.dumps(ALL))
        self.client("s3").create_bucket(Bucket=self.bucket)
        self.sagemaker = self.client("sagemaker", max_pool_connections=8)

    def client(self, service, **config):
        return self.instance.client(service, self.credentials, **config)

    def train(self, name, code, count=1, volume=1):
        """A training job that runs a line of Python."""
        self.sagemaker.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={
                "TrainingImage": script_image(),
                "TrainingInputMode": "File",
                # One line of at most 256 characters, as AWS wants it.
                "ContainerEntrypoint": ["python3", "-c", f"exec({code!r})"],
            },
            RoleArn=self.role,
            OutputDataConfig={"S3OutputPath": f"s3://{self.bucket}/out"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": count, "VolumeSizeInGB": volume},
            StoppingCondition={"MaxRuntimeInSeconds": 3600},
        )

    def describe(self, name):
        return self.sagemaker.describe_training_job(TrainingJobName=name)

    def said(self, name):
        return self.describe(name)["SecondaryStatusTransitions"][-1].get("StatusMessage", "")


@pytest.fixture
def two(own_instance):
    """The administrator's account and another one of the organization."""
    organizations = own_instance.client("organizations")
    made = organizations.create_account(Email="modest@example.com", AccountName="modest")["CreateAccountStatus"]
    while made["State"] == "IN_PROGRESS":
        time.sleep(0.2)
        made = organizations.describe_create_account_status(CreateAccountRequestId=made["Id"])["CreateAccountStatus"]
    role = f"arn:aws:iam::{made['AccountId']}:role/OrganizationAccountAccessRole"
    other = own_instance.client("sts").assume_role(RoleArn=role, RoleSessionName="modest")["Credentials"]
    return Tenant(own_instance, own_instance.account), Tenant(own_instance, made["AccountId"], other)


def test_five_hundred_jobs_hold_up_another_account_by_one(two, wait):
    """And a quota refuses in AWS's words what goes beyond it, until Service Quotas grants more."""
    greedy, modest = two
    name = "greedy-{:03}".format
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        # The first few in order, so that it is known which run.
        for number in range(40):
            greedy.train(name(number), "import time; time.sleep(3000)")
        list(threads.map(lambda number: greedy.train(name(number), "import time; time.sleep(3000)"), range(40, MANY)))
    waiting = wait(lambda: greedy.said(name(39)), lambda said: said.startswith("Waiting for capacity on this host:"), 120)
    places = 39 - int(waiting.split(": ")[1].split(" ")[0])
    assert 1 <= places < 39, waiting
    wait(lambda: greedy.describe(name(0))["SecondaryStatus"], lambda status: status == "Training", 300)
    modest.train("modest", "print('done')")
    said = wait(lambda: modest.said("modest"), lambda said: said.startswith("Waiting"), 60)
    assert said == "Waiting for capacity on this host: 0 before it in this account, 0 of other accounts.", said
    # One running job ends, and the other account's runs: it completes while nobody else has begun.
    greedy.sagemaker.stop_training_job(TrainingJobName=name(0))
    ended = wait(lambda: modest.describe("modest"), lambda found: found["TrainingJobStatus"] in OVER, 300)
    assert ended["TrainingJobStatus"] == "Completed", ended
    stopped = greedy.describe(name(0))
    assert stopped["TrainingJobStatus"] == "Stopped", stopped
    next_one = wait(lambda: greedy.describe(name(places)), lambda found: found["SecondaryStatus"] != "Starting", 120)
    assert next_one["TrainingStartTime"] >= ended["TrainingStartTime"], "the other account was first"
    assert greedy.describe(name(places + 1))["SecondaryStatus"] == "Starting"
    quotas = greedy.client("service-quotas")
    code = quota_code(quotas)
    limit = quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode=code)["Quota"]["Value"]
    used = MANY - 1
    while used + 20 <= limit:
        greedy.train(f"wide-{used}", "pass", count=20)
        used += 20
    error = refused(greedy.train, name="beyond", code="pass", count=20)
    assert error.response["Error"]["Code"] == "ResourceLimitExceeded"
    assert error.response["Error"]["Message"] == (
        f"The account-level service limit '{QUOTA}' is {limit:.0f} Instances, with current utilization of {used} Instances and a request delta"
        " of 20 Instances. Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is not available,"
        " contact AWS support to request an increase for this quota."
    )
    asked = quotas.request_service_quota_increase(ServiceCode="sagemaker", QuotaCode=code, DesiredValue=limit + 20)["RequestedQuota"]
    assert (asked["Status"], asked["QuotaName"]) == ("APPROVED", QUOTA)
    greedy.train("beyond", "pass", count=20)
    shown = greedy.instance.cli("service-quotas", "get-service-quota", "--service-code", "sagemaker", "--quota-code", code)
    assert json.loads(shown.stdout)["Quota"]["Value"] == limit + 20
    history = quotas.list_requested_service_quota_change_history(ServiceCode="sagemaker")["RequestedQuotas"]
    assert [request["Id"] for request in history] == [asked["Id"]]
    others = modest.client("service-quotas").get_service_quota(ServiceCode="sagemaker", QuotaCode=code)["Quota"]
    assert others["Value"] == limit, "an account's own"


def quota_code(quotas):
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    found = {quota["QuotaName"]: quota["QuotaCode"] for page in pages for quota in page["Quotas"]}
    assert len(found) > 1000
    return found[QUOTA]


FILLS = """
import os, time
for n in range(2560):
    with open(f'/opt/ml/output/data/{n}', 'wb') as f:
        f.write(os.urandom(1 << 20))
time.sleep(3000)
"""
ONE_LARGE = """
f = open('/opt/ml/output/data/sparse', 'wb')
try:
    f.truncate(2 << 30)
except OSError:
    raise SystemExit(3)
"""


def test_who_fills_its_volume_ends_and_others_go_on(two, wait):
    tenant, _ = two
    tenant.train("fills", FILLS)
    tenant.train("one-large", ONE_LARGE)
    tenant.train("bystander", "print('done')")
    ended = {name: wait(lambda: tenant.describe(name), lambda found: found["TrainingJobStatus"] in OVER, 600) for name in ("fills", "one-large", "bystander")}
    assert ended["fills"]["TrainingJobStatus"] == "Failed", ended["fills"]
    assert "No space left on device" in ended["fills"]["FailureReason"]
    assert ended["one-large"]["FailureReason"].endswith("exit code: 3"), ended["one-large"]
    assert ended["bystander"]["TrainingJobStatus"] == "Completed", ended["bystander"]


def test_quotas_are_guarded_by_policies(own_instance):
    iam = own_instance.client("iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    keys = {"AccessKeyId": key["AccessKeyId"], "SecretAccessKey": key["SecretAccessKey"], "SessionToken": None}
    quotas = own_instance.client("service-quotas", keys)
    with pytest.raises(botocore.exceptions.ClientError) as error:
        quotas.request_service_quota_increase(ServiceCode="sagemaker", QuotaCode="L-00000000", DesiredValue=5000)
    assert error.value.response["Error"]["Code"] == "AccessDeniedException"
    resource = f"arn:aws:servicequotas:{REGION}:{own_instance.account}:sagemaker/L-00000000"
    assert resource in error.value.response["Error"]["Message"]

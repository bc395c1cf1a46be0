"""Preventive controls: policies that let work happen only within a VPC, on certain machines, isolated or encrypted.

The rule of the secure MLOps workshop denies every job, model and notebook that names no subnets and no security groups.
What keeps to it runs, and reaches AWS's hosts (which end at the instance) but no others. The server of these journeys
lets sandboxes out to one host that does not exist: outside a VPC the broker tries it (502), within one it refuses (403).
"""

import json
import time

import botocore.exceptions
import pytest
from conftest import REGION, start

BASE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-base-python:1.0"
ROLE = "sm-mlops-env-EnvironmentIAM-SageMakerExecutionRole-1ABCDEFGHIJKL"
ELSEWHERE = "nowhere.invalid"
VPC = {"Subnets": ["subnet-0a1b2c3d4e5f60718", "subnet-0a1b2c3d4e5f60719"], "SecurityGroupIds": ["sg-0a1b2c3d4e5f60718"]}
OVER = ("Completed", "Failed", "Stopped")
CREATES = [
    "CreateNotebookInstance",
    "CreateHyperParameterTuningJob",
    "CreateProcessingJob",
    "CreateTrainingJob",
    "CreateCompilationJob",
    "CreateModel",
]
# What a job finds: who it is at the instance, and what becomes of a connection to another host.
LOOKS_AROUND = f"""
import http.client, os, urllib.parse
import boto3
who = boto3.client("sts").get_caller_identity()["Arn"]
proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
connection = http.client.HTTPConnection(proxy.hostname, proxy.port)
connection.set_tunnel("{ELSEWHERE}", 443)
try:
    connection.connect()
    found = "200"
except OSError as error:
    found = str(error)
print("I am", who, "and elsewhere answers:", found)
"""


class Environment:
    """The workshop's execution role under its preventive policy, a bucket, and requests of that role."""

    def __init__(self, instance):
        self.instance, self.account = instance, instance.account
        self.bucket = f"sm-mlops-data-{self.account}"
        self.role = f"arn:aws:iam::{self.account}:role/{ROLE}"
        self.iam = instance.client("iam")
        s3 = instance.client("s3")
        s3.create_bucket(Bucket=self.bucket)
        s3.put_object(Bucket=self.bucket, Key="code/look.py", Body=LOOKS_AROUND.encode())
        trust = [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{self.account}:root"}, "Action": "sts:AssumeRole"},
        ]
        self.iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=document(*trust))
        self.allow({"Effect": "Allow", "Action": ["sagemaker:*", "s3:*", "logs:*", "iam:PassRole"], "Resource": "*"}, name="all")
        self.credentials = instance.client("sts").assume_role(RoleArn=self.role, RoleSessionName="SageMaker")["Credentials"]
        self.sagemaker = instance.client("sagemaker", self.credentials)
        self.logs = instance.client("logs", self.credentials)
        self.count = 0

    def allow(self, *statements, name="control"):
        self.iam.put_role_policy(RoleName=ROLE, PolicyName=name, PolicyDocument=document(*statements))

    def only_in_a_vpc(self):
        condition = {"Null": {"sagemaker:VpcSubnets": "true", "sagemaker:VpcSecurityGroupIds": "true"}}
        actions = [f"sagemaker:{name}" for name in CREATES]
        self.allow(deny(actions, condition, f"arn:aws:sagemaker:*:{self.account}:*"))

    def name(self, what="reorder-classifier"):
        self.count += 1
        return f"{what}-{time.strftime('%Y-%m-%d-%H-%M-%S')}-{self.count:03d}"

    def code(self):
        return {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.bucket}/code/", "S3DataDistributionType": "FullyReplicated"}

    def training(self, **more):
        return {
            "TrainingJobName": self.name(),
            "RoleArn": self.role,
            "AlgorithmSpecification": {
                "TrainingImage": BASE,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": ["python3", "/opt/ml/input/data/code/look.py"],
            },
            "InputDataConfig": [{"ChannelName": "code", "DataSource": {"S3DataSource": self.code()}}],
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/models/"},
            "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        } | more

    def processing(self, **more):
        return {
            "ProcessingJobName": self.name("processing"),
            "RoleArn": self.role,
            "AppSpecification": {"ImageUri": BASE, "ContainerEntrypoint": ["python3", "/opt/ml/processing/code/look.py"]},
            "ProcessingInputs": [
                {"InputName": "code", "S3Input": self.code() | {"LocalPath": "/opt/ml/processing/code", "S3InputMode": "File"}}
            ],
            "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        } | more

    def model(self, **more):
        image = f"683313688378.dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:1.7-1"
        return {"ModelName": self.name("model"), "ExecutionRoleArn": self.role, "PrimaryContainer": {"Image": image}} | more

    def refused(self, operation, request):
        """The error of a call of the role's."""
        with pytest.raises(botocore.exceptions.ClientError) as raised:
            getattr(self.sagemaker, operation)(**request)
        return raised.value

    def said(self, kind, name):
        """What a job printed, with what its broker said of refused connections."""
        group = f"/aws/sagemaker/{kind}Jobs"
        streams = self.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
        read = lambda stream: self.logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
        return [event["message"] for stream in streams for event in read(stream["logStreamName"])]


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def deny(actions, condition, resource="*"):
    return {"Effect": "Deny", "Action": actions, "Resource": resource, "Condition": condition}


@pytest.fixture(scope="module")
def environment():
    running = start("--egress", ELSEWHERE)
    yield Environment(running)
    assert running.stop() == 0


def explicit(environment, error, operation, resource):
    """A refusal by the role's own policy, in AWS's words."""
    session = f"arn:aws:sts::{environment.account}:assumed-role/{ROLE}/SageMaker"
    start = (
        f"An error occurred (AccessDeniedException) when calling the {operation} operation: User: {session} is not authorized to "
        f"perform: sagemaker:{operation} on resource: arn:aws:sagemaker:{REGION}:{environment.account}:{resource} with an explicit deny"
    )
    return str(error).startswith(start)


def test_a_training_job_needs_subnets_and_security_groups(environment, wait):
    environment.only_in_a_vpc()
    request = environment.training()
    error = environment.refused("create_training_job", request)
    assert explicit(environment, error, "CreateTrainingJob", f"training-job/{request['TrainingJobName']}"), error

    name = request["TrainingJobName"]
    environment.sagemaker.create_training_job(**request, VpcConfig=VPC)
    describe = lambda: environment.sagemaker.describe_training_job(TrainingJobName=name)
    job = wait(describe, lambda job: job["TrainingJobStatus"] in OVER, 600)
    said = environment.said("Training", name)
    assert job["TrainingJobStatus"] == "Completed", (job, said)
    assert job["VpcConfig"] == VPC
    # The instance's own hosts are reached, and nothing else: the broker refuses and says so.
    found = next(line for line in said if line.startswith("I am"))
    assert f"assumed-role/{ROLE}/SageMaker" in found and "403" in found, said
    assert any(f"`{ELSEWHERE}` is not reachable: a VPC has no route to the internet" in line for line in said), said


def test_a_processing_job_in_a_vpc_reaches_less_than_one_outside(environment, wait):
    found = {}
    environment.allow(deny(["sagemaker:DeleteDomain"], {"Null": {"aws:PrincipalArn": "false"}}))
    for where, more in (("outside", {}), ("within", {"NetworkConfig": {"VpcConfig": VPC}})):
        if where == "within":
            environment.only_in_a_vpc()
            request = environment.processing()
            error = environment.refused("create_processing_job", request)
            assert explicit(environment, error, "CreateProcessingJob", f"processing-job/{request['ProcessingJobName']}"), error
        request = environment.processing(**more)
        environment.sagemaker.create_processing_job(**request)
        describe = lambda: environment.sagemaker.describe_processing_job(ProcessingJobName=request["ProcessingJobName"])
        job = wait(describe, lambda job: job["ProcessingJobStatus"] in OVER, 600)
        said = environment.said("Processing", request["ProcessingJobName"])
        assert job["ProcessingJobStatus"] == "Completed", (job, said)
        assert job.get("NetworkConfig") == more.get("NetworkConfig")
        found[where] = next(line for line in said if line.startswith("I am"))
    assert "502" in found["outside"] and "403" in found["within"], found


def test_a_model_needs_them_too(environment):
    environment.only_in_a_vpc()
    request = environment.model()
    error = environment.refused("create_model", request)
    assert explicit(environment, error, "CreateModel", f"model/{request['ModelName']}"), error
    environment.sagemaker.create_model(**request, VpcConfig=VPC)
    assert environment.sagemaker.describe_model(ModelName=request["ModelName"])["VpcConfig"] == VPC


def test_one_of_the_two_is_enough_for_the_policy(environment):
    """The keys of a block are ANDed: the policy lets it pass, and the request itself is refused as incomplete."""
    environment.only_in_a_vpc()
    for half in ("Subnets", "SecurityGroupIds"):
        error = environment.refused("create_training_job", environment.training(VpcConfig={half: VPC[half]}))
        assert error.response["Error"]["Code"] == "ValidationException", error
    condition = {"Null": {"sagemaker:VpcSubnets": "true", "sagemaker:InstanceTypes": "true"}}
    environment.allow(deny("sagemaker:CreateModel", condition))
    error = environment.refused("create_model", environment.model())
    assert error.response["Error"]["Code"] == "AccessDeniedException"
    environment.sagemaker.create_model(**environment.model(VpcConfig=VPC))


def test_ids_must_be_ids(environment):
    environment.allow(deny("sagemaker:DeleteDomain", {"Null": {"aws:PrincipalArn": "false"}}))
    for vpc in (
        VPC | {"Subnets": ["default"]},
        VPC | {"SecurityGroupIds": ["subnet-1"]},
        VPC | {"Subnets": [f"subnet-{n}" for n in range(17)]},
        VPC | {"SecurityGroupIds": [f"sg-{n}" for n in range(6)]},
    ):
        for operation, request in (
            ("create_training_job", environment.training(VpcConfig=vpc)),
            ("create_processing_job", environment.processing(NetworkConfig={"VpcConfig": vpc})),
            ("create_model", environment.model(VpcConfig=vpc)),
        ):
            error = environment.refused(operation, request)
            assert error.response["Error"]["Code"] == "ValidationException", (vpc, error)


def test_a_pipelines_own_jobs_are_held_to_it(environment, wait):
    """A step is a call of the pipeline's role: its policy decides, not that of who started the pipeline."""
    environment.only_in_a_vpc()
    administrator = environment.instance.client("sagemaker")

    def run(**more):
        arguments = environment.processing(**more)
        del arguments["ProcessingJobName"]
        definition = {"Version": "2020-12-01", "Steps": [{"Name": "Work", "Type": "Processing", "Arguments": arguments}]}
        name = environment.name("pipeline")
        token = name.ljust(32, "x")
        administrator.create_pipeline(
            PipelineName=name, ClientRequestToken=token, RoleArn=environment.role, PipelineDefinition=json.dumps(definition)
        )
        started = administrator.start_pipeline_execution(PipelineName=name, ClientRequestToken=token)["PipelineExecutionArn"]
        describe = lambda: administrator.describe_pipeline_execution(PipelineExecutionArn=started)
        ended = wait(describe, lambda it: it["PipelineExecutionStatus"] not in ("Executing", "Stopping"), 600)
        steps = administrator.list_pipeline_execution_steps(PipelineExecutionArn=started)["PipelineExecutionSteps"]
        return ended["PipelineExecutionStatus"], steps[0].get("FailureReason", "")

    status, reason = run()
    assert status == "Failed" and "sagemaker:CreateProcessingJob" in reason and "with an explicit deny" in reason, reason
    assert run(NetworkConfig={"VpcConfig": VPC}) == ("Succeeded", "")


@pytest.mark.parametrize(
    "actions, condition, refused, allowed",
    [
        (
            "sagemaker:CreateTrainingJob",
            {"ForAnyValue:StringNotLike": {"sagemaker:InstanceTypes": ["ml.t3.*", "ml.c5.*"]}},
            {},
            {"ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.c5.xlarge", "VolumeSizeInGB": 5}},
        ),
        (
            "sagemaker:CreateTrainingJob",
            {"BoolIfExists": {"sagemaker:NetworkIsolation": "false"}},
            {"EnableNetworkIsolation": False},
            {"EnableNetworkIsolation": True},
        ),
        (
            "sagemaker:CreateTrainingJob",
            {"StringNotEqualsIfExists": {"sagemaker:NetworkIsolation": "true"}},
            {"EnableNetworkIsolation": False},
            {"EnableNetworkIsolation": True},
        ),
        (
            "sagemaker:CreateTrainingJob",
            {"Bool": {"sagemaker:InterContainerTrafficEncryption": "false"}},
            {"EnableInterContainerTrafficEncryption": False},
            {"EnableInterContainerTrafficEncryption": True},
        ),
        (
            "sagemaker:CreateTrainingJob",
            {"NumericGreaterThan": {"sagemaker:MaxRuntimeInSeconds": "3600"}},
            {"StoppingCondition": {"MaxRuntimeInSeconds": 3601}},
            {"StoppingCondition": {"MaxRuntimeInSeconds": 3600}},
        ),
        (
            "iam:PassRole",
            {"ArnLike": {"iam:AssociatedResourceArn": f"arn:aws:sagemaker:{REGION}:*:training-job/secret-*"}},
            {"TrainingJobName": "secret-job"},
            {"TrainingJobName": "open-job"},
        ),
        (
            "sagemaker:CreateTrainingJob",
            {"Null": {"aws:RequestTag/CostCenter": "true"}},
            {},
            {"Tags": [{"Key": "CostCenter", "Value": "42"}]},
        ),
    ],
)
def test_other_controls_of_training(environment, actions, condition, refused, allowed):
    environment.allow(deny(actions, condition))
    error = environment.refused("create_training_job", environment.training(**refused))
    assert error.response["Error"]["Code"] == "AccessDeniedException" and "with an explicit deny" in str(error), error
    request = environment.training(**allowed)
    environment.sagemaker.create_training_job(**request)
    environment.sagemaker.stop_training_job(TrainingJobName=request["TrainingJobName"])


def test_encryption_keys_can_be_demanded(environment):
    """There is no key service yet: who names a key passes the policy and is told so; who names none is denied."""
    key = f"arn:aws:kms:{REGION}:{environment.account}:key/0f5e4d3c"
    resources = environment.training()["ResourceConfig"]
    output = environment.training()["OutputDataConfig"]
    for condition, more in (
        ({"Null": {"sagemaker:VolumeKmsKey": "true"}}, {"ResourceConfig": resources | {"VolumeKmsKeyId": key}}),
        ({"Null": {"sagemaker:OutputKmsKey": "true"}}, {"OutputDataConfig": output | {"KmsKeyId": key}}),
        ({"ArnNotEquals": {"sagemaker:VolumeKmsKey": key}}, {"ResourceConfig": resources | {"VolumeKmsKeyId": key}}),
    ):
        environment.allow(deny("sagemaker:CreateTrainingJob", condition))
        error = environment.refused("create_training_job", environment.training())
        assert error.response["Error"]["Code"] == "AccessDeniedException", error
        error = environment.refused("create_training_job", environment.training(**more))
        assert error.response["Error"]["Code"] == "ValidationException" and "no KMS yet" in str(error), error


def test_a_bucket_that_takes_only_encrypted_objects_takes_them_in_parts(environment):
    """Parts of an upload have no header of their own for it: what the upload was begun with counts."""
    s3 = environment.instance.client("s3")
    bucket = f"encrypted-{environment.account}"
    s3.create_bucket(Bucket=bucket)
    condition = {"StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"}}
    statement = deny("s3:PutObject", condition, f"arn:aws:s3:::{bucket}/*") | {"Principal": "*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        s3.put_object(Bucket=bucket, Key="plain", Body=b"x")
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        s3.create_multipart_upload(Bucket=bucket, Key="plain")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="whole", ServerSideEncryption="AES256")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="whole", UploadId=upload, PartNumber=1, Body=b"x" * 100)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="whole", UploadId=upload, MultipartUpload=parts)
    assert s3.get_object(Bucket=bucket, Key="whole")["Body"].read() == b"x" * 100


def test_a_bucket_that_is_never_written_over(environment):
    """`s3:ObjectCreationOperation` tells the calls that make an object from those that only begin to."""
    s3 = environment.instance.client("s3")
    bucket = f"write-once-{environment.account}"
    s3.create_bucket(Bucket=bucket)
    condition = {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}
    statement = deny("s3:PutObject", condition, f"arn:aws:s3:::{bucket}/*") | {"Principal": "*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=document(statement))
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", IfNoneMatch="*")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"x")
    done = {"Bucket": bucket, "Key": "m", "UploadId": upload, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}}
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        s3.complete_multipart_upload(**done)
    s3.complete_multipart_upload(**done, IfNoneMatch="*")

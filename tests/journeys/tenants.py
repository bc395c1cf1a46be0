"""What the journeys of the tenants have in common: their roles, their sessions, and how a pipeline's end is awaited."""

import json
import sys
import time

import botocore.exceptions
import pytest

from conftest import REGION, ROOT

ASSETS = ROOT / "tests" / "journeys" / "assets"
sys.path.insert(0, str(ASSETS))


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(platform):
    """Only the platform's own session gets in, and only with a tenant's tag."""
    return policy(
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:sts::{platform.account}:assumed-role/{platform.ROLE}/SageMaker"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {"StringLike": {"aws:RequestTag/TenantID": "tenant*"}},
        }
    )


def create_role(platform, name, statement):
    """A role for tenants' sessions with one policy, made by the platform's own session. Returns its ARN."""
    iam = platform.client("iam")
    made = iam.create_policy(PolicyName=f"{name}Policy", PolicyDocument=policy(statement))["Policy"]["Arn"]
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(platform))["Role"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=made)
    return role


def tenant_credentials(platform, role, tenant):
    """Keys of a session of the role that is named and tagged after the tenant."""
    answer = platform.client("sts").assume_role(
        RoleArn=role, RoleSessionName=tenant, DurationSeconds=900, Tags=[{"Key": "TenantID", "Value": tenant}]
    )
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{platform.account}:assumed-role/{role.split('/')[-1]}/{tenant}"
    return answer["Credentials"]


def tenant_client(platform, service, role, tenant, **config):
    """A client with such keys."""
    return platform.instance.client(service, tenant_credentials(platform, role, tenant), **config)


def refused(call, **arguments):
    """The error that the call must end in."""
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value


def denial(operation, user, action, resource, code="AccessDeniedException"):
    """The whole sentence of boto3 when nothing allows an action."""
    return (
        f"An error occurred ({code}) when calling the {operation} operation: User: {user} is not authorized to perform: {action}"
        f" on resource: {resource} because no identity-based policy allows the {action} action"
    )


def steps_of(client, execution):
    """The execution's steps by name."""
    pages = client.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=execution)
    return {step["StepName"]: step for page in pages for step in page["PipelineExecutionSteps"]}


def end_of(client, execution, seconds=900):
    """Waits for the end; returns the description and the steps by name."""
    end = time.monotonic() + seconds
    while True:
        described = client.describe_pipeline_execution(PipelineExecutionArn=execution)
        if described["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
            return described, steps_of(client, execution)
        assert time.monotonic() < end, f"still running: {described}, {steps_of(client, execution)}"
        time.sleep(0.5)


def why(described, steps):
    """For a failed assertion: what the execution and its steps say."""
    return json.dumps([described, steps], default=str, indent=1)


def processing_pipeline(image, role, *, name="Work", arguments, code, output=None, isolated=False, cache=False, instance_type="ml.t3.medium"):
    """A definition with one processing step that runs behave.py, written by hand."""
    source = {"S3Uri": code, "LocalPath": "/opt/ml/processing/input/code", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    request = {
        "ProcessingResources": {"ClusterConfig": {"InstanceType": instance_type, "InstanceCount": 1, "VolumeSizeInGB": 30}},
        "AppSpecification": {
            "ImageUri": image,
            "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/behave.py"],
            "ContainerArguments": arguments,
        },
        "RoleArn": role,
        "ProcessingInputs": [{"InputName": "code", "AppManaged": False, "S3Input": source}],
        "NetworkConfig": {"EnableNetworkIsolation": isolated},
    }
    if output:
        target = {"S3Uri": output, "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"}
        request["ProcessingOutputConfig"] = {"Outputs": [{"OutputName": "output", "AppManaged": False, "S3Output": target}]}
    step = {"Name": name, "Type": "Processing", "Arguments": request}
    if cache:
        step["CacheConfig"] = {"Enabled": True, "ExpireAfter": "30d"}
    return {"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [step]}


def script_image():
    """An image that runs Python scripts and starts quickly."""
    from sagemaker import image_uris

    return image_uris.retrieve("sklearn", REGION, version="0.23-1", instance_type="ml.t3.medium")

"""Ways around tenants' fences, tried with a real client: each of these once worked, or easily could have."""

import json
import time

import botocore.exceptions
import pytest

from conftest import REGION

FAIL = json.dumps(
    {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [],
        "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "stopped"}}],
    }
)


def statement(effect, action, resource="*", **condition):
    return {"Effect": effect, "Action": action, "Resource": resource, **({"Condition": condition} if condition else {})}


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture(scope="module")
def execution_role(instance):
    """What the pipelines here run as."""
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = instance.client("iam").create_role(RoleName="AttackedExecution", AssumeRolePolicyDocument=document(trust))
    return role["Role"]["Arn"]


def session(instance, name, *statements):
    """Credentials of a role with these statements and nothing else."""
    iam = instance.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{instance.account}:root"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(*statements))
    return instance.client("sts").assume_role(RoleArn=role, RoleSessionName="attacker")["Credentials"]


def refused(code, call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value


def test_a_second_spelling_of_a_tag_does_not_stand_in_for_the_first(instance, execution_role):
    """aws:RequestTag and aws:ResourceTag know no case: whichever of `tenant` and `Tenant` came last would have counted."""
    own = {"StringEquals": {"aws:RequestTag/tenant": "t1"}}
    attacker = session(
        instance,
        "TagSpoofer",
        statement("Allow", ["sagemaker:CreatePipeline", "sagemaker:AddTags"], **own),
        statement("Allow", "iam:PassRole", execution_role),
        statement("Allow", ["s3:PutObject", "s3:PutObjectTagging"], StringEquals={"s3:RequestObjectTag/tenant": "t1"}),
    )
    sagemaker, s3 = instance.client("sagemaker", attacker), instance.client("s3", attacker)
    bucket = f"attacked-tags-{instance.account}"
    instance.client("s3").create_bucket(Bucket=bucket)
    both = [{"Key": "tenant", "Value": "t2"}, {"Key": "Tenant", "Value": "t1"}]
    for number, tags in enumerate((both, both[::-1])):
        arguments = dict(PipelineName=f"spoofed-{number}", PipelineDefinition=FAIL, RoleArn=execution_role, ClientRequestToken="x" * 32)
        refused("AccessDeniedException", sagemaker.create_pipeline, **arguments, Tags=tags)
        header = "&".join(f"{tag['Key']}={tag['Value']}" for tag in tags)
        refused("AccessDenied", s3.put_object, Bucket=bucket, Key="spoofed", Body=b"", Tagging=header)
    s3.put_object(Bucket=bucket, Key="own", Body=b"", Tagging="tenant=t1")
    sagemaker.create_pipeline(**{**arguments, "PipelineName": "own"}, Tags=[{"Key": "tenant", "Value": "t1"}])
    arn = f"arn:aws:sagemaker:{REGION}:{instance.account}:pipeline/own"
    administrator = instance.client("sagemaker")
    refused("ValidationException", administrator.add_tags, ResourceArn=arn, Tags=[{"Key": "Tenant", "Value": "t2"}])
    # Another region's resources are not tagged from here, where a region fence looks at the request's region.
    elsewhere = arn.replace(REGION, "eu-west-1")
    refused("ValidationException", administrator.add_tags, ResourceArn=elsewhere, Tags=[{"Key": "k", "Value": "v"}])


def test_a_version_of_a_model_has_one_name(instance):
    """`group/01` was the version that a policy knows as `group/1`."""
    administrator = instance.client("sagemaker")
    administrator.create_model_package_group(ModelPackageGroupName="attacked")
    arn = administrator.create_model_package(ModelPackageGroupName="attacked", ModelPackageDescription="secret")["ModelPackageArn"]
    attacker = session(instance, "VersionAlias", statement("Allow", "sagemaker:*"), statement("Deny", "sagemaker:*", arn))
    client = instance.client("sagemaker", attacker)
    refused("AccessDeniedException", client.describe_model_package, ModelPackageName=arn)
    for alias in (arn.replace("/1", "/01"), "attacked/01", "attacked/000000001"):
        refused("ValidationException", client.describe_model_package, ModelPackageName=alias)
    for alias in ("ATTACKED/1", arn.replace("attacked", "Attacked")):
        refused("AccessDeniedException", client.describe_model_package, ModelPackageName=alias)


def test_a_stranger_does_not_learn_why(instance):
    """S3 tells other accounts nothing; neither does the decoded message of the same refusal."""
    organizations = instance.client("organizations")
    made = organizations.create_account(Email="attacker@example.com", AccountName="attacker")["CreateAccountStatus"]
    while made["State"] == "IN_PROGRESS":
        time.sleep(0.2)
        made = organizations.describe_create_account_status(CreateAccountRequestId=made["Id"])["CreateAccountStatus"]
    role = f"arn:aws:iam::{made['AccountId']}:role/OrganizationAccountAccessRole"
    stranger = instance.client("sts").assume_role(RoleArn=role, RoleSessionName="stranger")["Credentials"]
    bucket = "attacked-by-a-stranger"
    s3 = instance.client("s3")
    s3.create_bucket(Bucket=bucket)
    fence = {"Sid": "TopSecret", "Principal": "*", **statement("Deny", "s3:GetObject", f"arn:aws:s3:::{bucket}/*")}
    s3.put_bucket_policy(Bucket=bucket, Policy=document(fence))
    error = refused("AccessDenied", instance.client("s3", stranger).get_object, Bucket=bucket, Key="x")
    assert error.response["Error"]["Message"] == "Access Denied"
    sts = instance.client("sts", stranger)
    # The explanation is stored behind the answer.
    for _ in range(100):
        try:
            message = sts.decode_authorization_message(EncodedMessage=error.response["ResponseMetadata"]["RequestId"])["DecodedMessage"]
            break
        except botocore.exceptions.ClientError:
            time.sleep(0.1)
    assert json.loads(message)["context"]["action"] == "s3:GetObject"
    assert "TopSecret" not in message and instance.account not in message, message
    assert json.loads(message)["explicitDeny"] is False


def test_what_is_of_another_account_is_out_of_reach(instance, execution_role):
    """By ARN, as a role, as the source of a copy, as an upload: nothing of another account can be named into use."""
    organizations = instance.client("organizations")
    made = organizations.create_account(Email="reacher@example.com", AccountName="reacher")["CreateAccountStatus"]
    while made["State"] == "IN_PROGRESS":
        time.sleep(0.2)
        made = organizations.describe_create_account_status(CreateAccountRequestId=made["Id"])["CreateAccountStatus"]
    role = f"arn:aws:iam::{made['AccountId']}:role/OrganizationAccountAccessRole"
    stranger = instance.client("sts").assume_role(RoleArn=role, RoleSessionName="stranger")["Credentials"]
    own = instance.client("sagemaker")
    own.create_pipeline(PipelineName="attacked", PipelineDefinition=FAIL, RoleArn=execution_role, ClientRequestToken="x" * 32)
    pipeline = f"arn:aws:sagemaker:{REGION}:{instance.account}:pipeline/attacked"
    execution = own.start_pipeline_execution(PipelineName="attacked", ClientRequestToken="y" * 32)["PipelineExecutionArn"]
    sagemaker = instance.client("sagemaker", stranger)
    denied = "AccessDeniedException"
    refused(denied, sagemaker.describe_pipeline, PipelineName=pipeline)
    refused(denied, sagemaker.start_pipeline_execution, PipelineName=pipeline, ClientRequestToken="z" * 32)
    refused(denied, sagemaker.describe_pipeline_execution, PipelineExecutionArn=execution)
    refused(denied, sagemaker.list_pipeline_execution_steps, PipelineExecutionArn=execution)
    refused(denied, sagemaker.list_tags, ResourceArn=pipeline)
    refused(denied, sagemaker.add_tags, ResourceArn=pipeline, Tags=[{"Key": "k", "Value": "v"}])
    arguments = dict(PipelineName="borrowed", PipelineDefinition=FAIL, ClientRequestToken="x" * 32)
    refused("ValidationException", sagemaker.create_pipeline, **arguments, RoleArn=execution_role)
    image = f"683313688378.dkr.ecr.{REGION}.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
    refused(denied, sagemaker.create_model, ModelName="borrowed", ExecutionRoleArn=execution_role, PrimaryContainer={"Image": image})
    bucket, theirs = f"attacked-own-{instance.account}", f"attacked-theirs-{instance.account}"
    s3, strange_s3 = instance.client("s3"), instance.client("s3", stranger)
    s3.create_bucket(Bucket=bucket)
    strange_s3.create_bucket(Bucket=theirs)
    s3.put_object(Bucket=bucket, Key="secret", Body=b"secret")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    refused("NoSuchUpload", strange_s3.upload_part, Bucket=theirs, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    refused("AccessDenied", strange_s3.copy_object, Bucket=theirs, Key="copy", CopySource=f"{bucket}/secret")
    refused("NoSuchKey", strange_s3.copy_object, Bucket=theirs, Key="copy", CopySource=f"{theirs}/../{bucket}/secret")

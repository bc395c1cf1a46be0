"""Pipelines, the model registry, experiments and images, as boto3 and the SageMaker SDK drive them."""

import json

import pytest

import tenants
from conftest import REGION, Platform
from tenants import end_of, policy, refused, script_image, steps_of, why

MEASURE = """
import json, sys
with open("/opt/ml/processing/evaluation/evaluation.json", "w") as file:
    json.dump({"regression_metrics": {"mse": {"value": float(sys.argv[1])}}}, file)
"""


@pytest.fixture(scope="module")
def bucket(platform):
    s3 = platform.client("s3")
    s3.create_bucket(Bucket=platform.bucket)
    s3.put_object(Bucket=platform.bucket, Key="pl/behave.py", Body=(tenants.ASSETS / "behave.py").read_bytes())
    return platform.bucket


@pytest.fixture
def sagemaker_client(platform):
    return platform.client("sagemaker")


def choice(yes="Fine", no="Bad"):
    """A pipeline without jobs: a parameter decides between a registered model and a failure."""
    condition = {"Type": "LessThanOrEqualTo", "LeftValue": {"Get": "Parameters.Error"}, "RightValue": 6.0}
    register = {
        "Name": "Register",
        "Type": "RegisterModel",
        "Arguments": {
            "ModelPackageGroupName": {"Get": "Parameters.Group"},
            "ModelApprovalStatus": {"Get": "Parameters.Approval"},
            "InferenceSpecification": {
                "Containers": [{"Image": "image", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        },
    }
    bad = {"Name": "Bad", "Type": "Fail", "Arguments": {"ErrorMessage": {"Std:Join": {"On": " ", "Values": ["the error is", {"Get": "Parameters.Error"}]}}}}
    return {
        "Version": "2020-12-01",
        "Parameters": [
            {"Name": "Error", "Type": "Float"},
            {"Name": "Group", "Type": "String", "DefaultValue": "choice-group"},
            {"Name": "Approval", "Type": "String", "DefaultValue": "PendingManualApproval"},
        ],
        "Steps": [{"Name": "Check", "Type": "Condition", "Arguments": {"Conditions": [condition], "IfSteps": [register], "ElseSteps": [bad]}}],
    }


def create(client, platform, name, definition, **more):
    return client.create_pipeline(
        PipelineName=name, PipelineDefinition=json.dumps(definition), RoleArn=platform.role, ClientRequestToken=name.ljust(32, "x"), **more
    )["PipelineArn"]


def start(client, name, **values):
    parameters = [{"Name": key, "Value": value} for key, value in values.items()]
    return client.start_pipeline_execution(PipelineName=name, PipelineParameters=parameters)["PipelineExecutionArn"]


def test_both_branches(platform, sagemaker_client):
    arn = create(sagemaker_client, platform, "Choice-Of-Branch", choice())
    assert arn == f"arn:aws:sagemaker:{REGION}:{platform.account}:pipeline/choice-of-branch"
    execution = start(sagemaker_client, "Choice-Of-Branch", Error="4.5", Approval="Approved")
    assert execution.startswith(f"{arn}/execution/") and len(execution.rsplit("/", 1)[1]) == 12
    described, steps = end_of(sagemaker_client, execution, 60)
    assert described["PipelineExecutionStatus"] == "Succeeded", why(described, steps)
    assert steps["Check"]["Metadata"]["Condition"]["Outcome"] == "True"
    package = steps["Register"]["Metadata"]["RegisterModel"]["Arn"]
    assert package == f"arn:aws:sagemaker:{REGION}:{platform.account}:model-package/choice-group/1"
    assert sagemaker_client.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"] == "Approved"

    execution = start(sagemaker_client, arn, Error="7")
    described, steps = end_of(sagemaker_client, execution, 60)
    assert described["PipelineExecutionStatus"] == "Failed" and set(steps) == {"Check", "Bad"}, why(described, steps)
    assert described["FailureReason"] == "the error is 7.0"
    parameters = sagemaker_client.list_pipeline_parameters_for_execution(PipelineExecutionArn=execution)["PipelineParameters"]
    assert {"Name": "Approval", "Value": "PendingManualApproval"} in parameters


@pytest.mark.parametrize(
    ("values", "says"),
    [({}, "Error"), ({"Error": "many"}, "Float"), ({"Error": "1", "Nope": "1"}, "Nope"), ({"Error": ""}, "")],
    ids=["missing", "wrong type", "unknown", "empty"],
)
def test_bad_parameters(platform, sagemaker_client, values, says):
    try:
        create(sagemaker_client, platform, "parameters", choice())
    except sagemaker_client.exceptions.ClientError as error:
        assert "already exists" in str(error)
    error = refused(start, client=sagemaker_client, name="parameters", **values)
    assert error.response["Error"]["Code"] == "ValidationException" and says in str(error)


def test_upsert_twice_update_and_delete(platform, sagemaker_client):
    create(sagemaker_client, platform, "changing", choice(), Tags=[{"Key": "TenantID", "Value": "tenant1"}])
    definition = json.dumps(choice())
    error = refused(
        sagemaker_client.create_pipeline, PipelineName="Changing", PipelineDefinition=definition, RoleArn=platform.role, ClientRequestToken="y" * 32
    )
    assert error.response["Error"]["Code"] == "ValidationException"
    assert "Pipeline names must be unique within an AWS account and region" in str(error) and "already exists" in str(error)
    sagemaker_client.update_pipeline(PipelineName="changing", PipelineDescription="new", PipelineDefinition=definition)
    described = sagemaker_client.describe_pipeline(PipelineName="changing")
    assert described["PipelineDescription"] == "new" and described["PipelineDefinition"] == definition
    assert described["CreatedBy"]["IamIdentity"]["Arn"].endswith(f"assumed-role/{platform.ROLE}/SageMaker")
    assert sagemaker_client.list_tags(ResourceArn=described["PipelineArn"])["Tags"] == [{"Key": "TenantID", "Value": "tenant1"}]
    listed = sagemaker_client.list_pipelines(PipelineNamePrefix="changing")["PipelineSummaries"]
    assert [pipeline["PipelineName"] for pipeline in listed] == ["changing"]
    sagemaker_client.delete_pipeline(PipelineName="changing", ClientRequestToken="z" * 32)
    error = refused(sagemaker_client.describe_pipeline, PipelineName="changing")
    assert error.response["Error"]["Code"] == "ResourceNotFound"
    missing = f"arn:aws:sagemaker:{REGION}:{platform.account}:pipeline/changing/execution/abcdefghijkl"
    for operation in ("describe_pipeline_execution", "list_pipeline_execution_steps"):
        assert refused(getattr(sagemaker_client, operation), PipelineExecutionArn=missing).response["Error"]["Code"] == "ResourceNotFound"


def test_a_definition_from_s3(platform, sagemaker_client, bucket):
    platform.client("s3").put_object(Bucket=bucket, Key="pl/definition.json", Body=json.dumps(choice()))
    location = {"Bucket": bucket, "ObjectKey": "pl/definition.json"}
    arguments = {"RoleArn": platform.role, "ClientRequestToken": "s" * 32}
    sagemaker_client.create_pipeline(PipelineName="from-s3", PipelineDefinitionS3Location=location, **arguments)
    assert json.loads(sagemaker_client.describe_pipeline(PipelineName="from-s3")["PipelineDefinition"]) == choice()
    error = refused(
        sagemaker_client.create_pipeline, PipelineName="nowhere", PipelineDefinitionS3Location={"Bucket": bucket, "ObjectKey": "none"}, **arguments
    )
    assert error.response["Error"]["Code"] == "ValidationException" and "pl/" not in str(error)


def test_the_sdk_evaluates_and_registers(platform, sdk, bucket, tmp_path):
    """Processing with a property file, a condition on it, a registered model; the second run comes from the cache."""
    from sagemaker.model import Model
    from sagemaker.processing import ProcessingOutput, ScriptProcessor
    from sagemaker.workflow.condition_step import ConditionStep
    from sagemaker.workflow.conditions import ConditionLessThanOrEqualTo
    from sagemaker.workflow.fail_step import FailStep
    from sagemaker.workflow.functions import JsonGet
    from sagemaker.workflow.model_step import ModelStep
    from sagemaker.workflow.parameters import ParameterInteger, ParameterString
    from sagemaker.workflow.pipeline import Pipeline
    from sagemaker.workflow.pipeline_context import PipelineSession
    from sagemaker.workflow.properties import PropertyFile
    from sagemaker.workflow.steps import CacheConfig, ProcessingStep

    session = PipelineSession(boto_session=sdk.boto_session, default_bucket=bucket)
    count = ParameterInteger(name="Count", default_value=1)
    mse = ParameterString(name="Mse")
    script = tmp_path / "measure.py"
    script.write_text(MEASURE)
    processor = ScriptProcessor(
        image_uri=script_image(), command=["python3"], role=platform.role, instance_count=count, instance_type="ml.t3.medium", sagemaker_session=session
    )
    report = PropertyFile(name="Report", output_name="evaluation", path="evaluation.json")
    evaluate = ProcessingStep(
        name="Evaluate",
        step_args=processor.run(
            outputs=[ProcessingOutput(output_name="evaluation", source="/opt/ml/processing/evaluation")], arguments=[mse], code=str(script)
        ),
        property_files=[report],
        cache_config=CacheConfig(enable_caching=True, expire_after="30d"),
    )
    model = Model(image_uri=script_image(), model_data=f"s3://{bucket}/pl/model.tar.gz", role=platform.role, sagemaker_session=session)
    register = ModelStep(
        name="House",
        step_args=model.register(
            content_types=["text/csv"], response_types=["text/csv"], inference_instances=["ml.t2.medium"], transform_instances=["ml.m5.large"],
            model_package_group_name="sdk-houses", approval_status="PendingManualApproval",
        ),
    )
    check = ConditionStep(
        name="Check",
        conditions=[ConditionLessThanOrEqualTo(left=JsonGet(step_name="Evaluate", property_file=report, json_path="regression_metrics.mse.value"), right=6.0)],
        if_steps=[register],
        else_steps=[FailStep(name="TooBad", error_message="the model is too bad")],
    )
    pipeline = Pipeline(name="SdkHouses", parameters=[count, mse], steps=[evaluate, check], sagemaker_session=session)
    for _ in range(2):
        pipeline.upsert(role_arn=platform.role, tags=[{"Key": "AppID", "Value": "houses"}])
    client = sdk.sagemaker_client

    first = pipeline.start(parameters={"Mse": "4.5", "Count": 1})
    first.wait(delay=1, max_attempts=300)
    described, steps = end_of(client, first.arn)
    assert described["PipelineExecutionStatus"] == "Succeeded", why(described, steps)
    package = steps["House-RegisterModel"]["Metadata"]["RegisterModel"]["Arn"]
    client.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    newest = client.list_model_packages(ModelPackageGroupName="sdk-houses", ModelApprovalStatus="Approved", SortBy="CreationTime", SortOrder="Descending")
    assert newest["ModelPackageSummaryList"][0]["ModelPackageArn"] == package

    # The jobs are recorded under the pipeline's experiment, the trial is the execution.
    trial = first.arn.rsplit("/", 1)[1]
    assert described["PipelineExperimentConfig"] == {"ExperimentName": "SdkHouses", "TrialName": trial}
    assert client.describe_trial(TrialName=trial)["ExperimentName"] == "SdkHouses"

    second = pipeline.start(parameters={"Mse": "4.5"})
    described, steps = end_of(client, second.arn)
    assert described["PipelineExecutionStatus"] == "Succeeded", why(described, steps)
    assert steps["Evaluate"]["CacheHitResult"]["SourcePipelineExecutionArn"] == first.arn
    third = pipeline.start(parameters={"Mse": "9"})
    described, steps = end_of(client, third.arn)
    assert described["FailureReason"] == "the model is too bad" and "CacheHitResult" not in steps["Evaluate"], why(described, steps)
    assert [step["StepName"] for step in second.list_steps()][-1] == "Evaluate", "newest first"


def test_a_job_that_fails_is_retried(platform, sagemaker_client, bucket):
    """The script looks for an object that is put there before the execution is retried."""
    code = b"import os, sys\nsys.exit(0 if os.path.exists('/opt/ml/processing/input/flag/ready') else 3)\n"
    s3 = platform.client("s3")
    s3.put_object(Bucket=bucket, Key="pl/flagged/behave.py", Body=code)
    s3.put_object(Bucket=bucket, Key="pl/flag/other", Body=b"x")
    definition = tenants.processing_pipeline(script_image(), platform.role, arguments=[], code=f"s3://{bucket}/pl/flagged/behave.py")
    flag = {"S3Uri": f"s3://{bucket}/pl/flag", "LocalPath": "/opt/ml/processing/input/flag", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    definition["Steps"][0]["Arguments"]["ProcessingInputs"].append({"InputName": "flag", "S3Input": flag})
    del definition["Steps"][0]["Arguments"]["AppSpecification"]["ContainerArguments"]
    create(sagemaker_client, platform, "flagged", definition)
    execution = start(sagemaker_client, "flagged")
    described, steps = end_of(sagemaker_client, execution)
    assert described["PipelineExecutionStatus"] == "Failed" and "exit code: 3" in steps["Work"]["FailureReason"], why(described, steps)
    token = {"PipelineExecutionArn": execution, "ClientRequestToken": "r" * 32}
    assert refused(sagemaker_client.stop_pipeline_execution, **token).response["Error"]["Code"] == "ValidationException"
    s3.put_object(Bucket=bucket, Key="pl/flag/ready", Body=b"x")
    sagemaker_client.retry_pipeline_execution(**token)
    described, steps = end_of(sagemaker_client, execution)
    assert described["PipelineExecutionStatus"] == "Succeeded" and steps["Work"]["AttemptCount"] == 2, why(described, steps)
    assert refused(sagemaker_client.retry_pipeline_execution, **token).response["Error"]["Code"] == "ValidationException"


def test_stop_ends_the_job(platform, sagemaker_client, bucket, wait):
    definition = tenants.processing_pipeline(script_image(), platform.role, arguments=["sleep", "600"], code=f"s3://{bucket}/pl/behave.py")
    create(sagemaker_client, platform, "stopped", definition)
    execution = start(sagemaker_client, "stopped")
    step = wait(lambda: steps_of(sagemaker_client, execution).get("Work", {}), lambda step: "Metadata" in step, 120)
    sagemaker_client.update_pipeline_execution(PipelineExecutionArn=execution, PipelineExecutionDisplayName="renamed")
    sagemaker_client.stop_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken="q" * 32)
    described, steps = end_of(sagemaker_client, execution)
    assert described["PipelineExecutionStatus"] == "Stopped" and described["PipelineExecutionDisplayName"] == "renamed", why(described, steps)
    assert steps["Work"]["StepStatus"] == "Stopped", why(described, steps)
    job = step["Metadata"]["ProcessingJob"]["Arn"].split("/")[-1]
    jobs = sagemaker_client.list_processing_jobs(NameContains=job[:40], StatusEquals="Stopped")["ProcessingJobSummaries"]
    assert len(jobs) == 1


def test_a_role_that_may_nothing_fails_the_step(platform, sagemaker_client, bucket):
    iam = platform.instance.client("iam")
    trust = policy({"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"})
    role = iam.create_role(RoleName="PowerlessSageMakerRole", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    definition = tenants.processing_pipeline(script_image(), platform.role, arguments=["sleep", "0"], code=f"s3://{bucket}/pl/behave.py")
    admin = platform.instance.client("sagemaker")
    admin.create_pipeline(PipelineName="powerless", PipelineDefinition=json.dumps(definition), RoleArn=role, ClientRequestToken="p" * 32)
    described, steps = end_of(admin, start(admin, "powerless"), 60)
    reason = steps["Work"]["FailureReason"]
    assert reason.startswith(
        "ClientError: Failed to invoke sagemaker:CreateProcessingJob. Error Details: User:"
        f" arn:aws:sts::{platform.account}:assumed-role/PowerlessSageMakerRole/SageMaker is not authorized to perform: sagemaker:CreateProcessingJob"
    ), why(described, steps)


def test_a_killed_server_goes_on_where_it_was(own_instance):
    """Killed right after the start was acknowledged, several times over: every step is done once."""
    platform = Platform(own_instance)
    client = platform.client("sagemaker")
    create(client, platform, "killed", choice())
    executions = []
    for _ in range(3):
        executions.append(start(platform.client("sagemaker"), "killed", Error="1", Group="killed-group"))
        own_instance.kill()
        own_instance.restart()
    client = platform.client("sagemaker")
    for execution in executions:
        described, steps = end_of(client, execution, 300)
        assert described["PipelineExecutionStatus"] == "Succeeded", why(described, steps)
    packages = client.list_model_packages(ModelPackageGroupName="killed-group")["ModelPackageSummaryList"]
    assert sorted(package["ModelPackageVersion"] for package in packages) == [1, 2, 3]


def test_registry_policies_and_groups(platform, sagemaker_client):
    error = refused(sagemaker_client.describe_model_package_group, ModelPackageGroupName="no-such-group")
    assert error.response["Error"]["Code"] == "ValidationException" and "does not exist" in str(error)
    group = sagemaker_client.create_model_package_group(ModelPackageGroupName="policed")["ModelPackageGroupArn"]
    document = policy(
        {
            "Sid": "multi-account-access-model-package-group",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{platform.account}:root"},
            "Action": ["sagemaker:DescribeModelPackageGroup"],
            "Resource": group,
        }
    )
    sagemaker_client.put_model_package_group_policy(ModelPackageGroupName="policed", ResourcePolicy=document)
    assert sagemaker_client.get_model_package_group_policy(ModelPackageGroupName="policed")["ResourcePolicy"] == document
    sagemaker_client.create_model_package(ModelPackageGroupName="policed")
    assert refused(sagemaker_client.delete_model_package_group, ModelPackageGroupName="policed").response["Error"]["Code"] == "ConflictException"
    sagemaker_client.delete_model_package(ModelPackageName=f"{group.replace('-group/', '/')}/1")
    sagemaker_client.delete_model_package_group(ModelPackageGroupName="policed")


def test_experiment_analytics(platform, sdk, sagemaker_client):
    from sagemaker.analytics import ExperimentAnalytics

    sagemaker_client.create_experiment(ExperimentName="customerchurn")
    assert "already exists" in str(refused(sagemaker_client.create_experiment, ExperimentName="customerchurn"))
    sagemaker_client.create_trial(ExperimentName="customerchurn", TrialName="t-1")
    for name, eta in [("c-1", 0.1), ("c-2", 0.3)]:
        sagemaker_client.create_trial_component(TrialComponentName=name, DisplayName="Training", Parameters={"eta": {"NumberValue": eta}})
        sagemaker_client.associate_trial_component(TrialName="t-1", TrialComponentName=name)
    table = ExperimentAnalytics(
        experiment_name="customerchurn", sagemaker_session=sdk, sort_by="parameters.eta", sort_order="Ascending"
    ).dataframe()
    assert set(table["TrialComponentName"]) == {"c-1", "c-2"} and set(table["eta"]) == {0.1, 0.3}
    found = sagemaker_client.search(
        Resource="ExperimentTrialComponent",
        SearchExpression={"Filters": [{"Name": "Parents.ExperimentName", "Operator": "Equals", "Value": "customerchurn"}, {"Name": "Parameters.eta", "Operator": "GreaterThan", "Value": "0.2"}]},
    )["Results"]
    assert [result["TrialComponent"]["TrialComponentName"] for result in found] == ["c-2"]


def test_images(platform, sagemaker_client):
    sagemaker_client.create_image(ImageName="kernel", RoleArn=platform.role)
    sagemaker_client.create_image_version(ImageName="kernel", BaseImage="repository:1", ClientToken="one")
    pages = sagemaker_client.list_image_versions(ImageName="kernel", MaxResults=100, SortBy="VERSION", SortOrder="DESCENDING")
    assert [version["Version"] for version in pages["ImageVersions"]] == [1]
    assert sagemaker_client.describe_image_version(ImageName="kernel", Version=1)["ContainerImage"] == "repository:1"
    with pytest.raises(sagemaker_client.exceptions.ResourceNotFound):
        sagemaker_client.describe_image(ImageName="none")

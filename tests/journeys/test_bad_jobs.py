"""Bad input: an error where AWS puts it, and the instance goes on."""

import io
import json
import tarfile

import botocore.exceptions
import pytest

import tenants
from conftest import REGION
from tenants import end_of, refused, script_image, why

XGBOOST = f"683313688378.dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:1.0-1-cpu-py3"


@pytest.fixture(autouse=True)
def goes_on(platform):
    """After every one of these the instance still answers."""
    yield
    assert platform.client("sts").get_caller_identity()["Account"] == platform.account
    assert platform.instance.process.poll() is None


@pytest.fixture(scope="module")
def code(platform):
    s3 = platform.client("s3")
    s3.create_bucket(Bucket=platform.bucket)
    s3.put_object(Bucket=platform.bucket, Key="bad/behave.py", Body=(tenants.ASSETS / "behave.py").read_bytes())
    return f"s3://{platform.bucket}/bad/behave.py"


def create(platform, definition, name="bad"):
    text = definition if isinstance(definition, str) else json.dumps(definition)
    arguments = {"PipelineName": name, "PipelineDefinition": text, "RoleArn": platform.role, "ClientRequestToken": name.ljust(32, "x")}
    return platform.client("sagemaker").create_pipeline(**arguments)["PipelineArn"]


def run(platform, definition, name):
    """Creates and starts a pipeline that is to fail; returns its description and steps."""
    create(platform, definition, name)
    sagemaker = platform.client("sagemaker")
    execution = sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]
    described, steps = end_of(sagemaker, execution, 300)
    assert described["PipelineExecutionStatus"] == "Failed" and described["FailureReason"], why(described, steps)
    return described, steps


def fail_step(name, *after):
    step = {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": "end"}}
    return step | ({"DependsOn": list(after)} if after else {})


def definition(*steps, **more):
    return {"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": list(steps)} | more


BAD_DEFINITIONS = {
    "empty": ("", "pipelineDefinition"),
    "half": ("{", "JSON"),
    "list": ("[]", "object"),
    "noise": ("\ud7ff" * 10, "JSON"),
    "deep list": ("[" * 100_000, "JSON"),
    "deep step": ('{"Version": "2020-12-01", "Steps": [' + '{"a":' * 50_000, "JSON"),
    "no steps": ({"Version": "2020-12-01"}, "Steps"),
    "other version": (definition(fail_step("A"), Version="1999-01-01"), "Version"),
    "cycle": (definition(fail_step("A", "B"), fail_step("B", "A")), "cycle"),
    "waits for itself": (definition(fail_step("A", "A")), "cycle"),
    "waits for nobody": (definition(fail_step("A", "Nobody")), "Nobody"),
    "same name twice": (definition(fail_step("A"), fail_step("A")), "unique"),
    "unknown type": (definition({"Name": "A", "Type": "Teleport", "Arguments": {}}), "Teleport"),
    "unknown parameter": (definition({"Name": "A", "Type": "Training", "Arguments": {"RoleArn": {"Get": "Parameters.Missing"}}}), "Missing"),
    "bad name": (definition({"Name": "a b/c", "Type": "Fail", "Arguments": {"ErrorMessage": "end"}}), "a b/c"),
    "too many steps": (definition(*[fail_step(f"Step{n}") for n in range(2000)]), "steps"),
    "too long": (definition(fail_step("A"), Metadata={"Long": "x" * 2_000_000}), "1048576"),
}


@pytest.mark.parametrize(("bad", "says"), BAD_DEFINITIONS.values(), ids=BAD_DEFINITIONS)
def test_bad_definitions_are_refused(platform, bad, says):
    error = refused(create, platform=platform, definition=bad)
    assert error.response["Error"]["Code"] == "ValidationException", error
    assert says in error.response["Error"]["Message"]
    assert len(error.response["Error"]["Message"]) < 10_000


def test_unknown_image(platform, code):
    definition = tenants.processing_pipeline("123456789012.dkr.ecr.us-east-1.amazonaws.com/nobody-has-this:1", platform.role, arguments=["sleep", "0"], code=code)
    described, steps = run(platform, definition, "unknown-image")
    assert "nobody-has-this" in steps["Work"]["FailureReason"], why(described, steps)


def test_missing_object(platform, code):
    definition = tenants.processing_pipeline(script_image(), platform.role, arguments=["sleep", "0"], code=f"s3://{platform.bucket}/bad/not-there.py")
    described, steps = run(platform, definition, "missing-object")
    assert "No S3 objects found under S3 URL" in steps["Work"]["FailureReason"], why(described, steps)


def test_a_bucket_that_the_role_may_not_read(platform, code):
    platform.instance.client("s3").create_bucket(Bucket="private-vault")
    platform.instance.client("s3").put_object(Bucket="private-vault", Key="behave.py", Body=b"print(1)")
    definition = tenants.processing_pipeline(script_image(), platform.role, arguments=["sleep", "0"], code="s3://private-vault/behave.py")
    described, steps = run(platform, definition, "forbidden-object")
    assert "private-vault" in steps["Work"]["FailureReason"] and "AccessDenied" in steps["Work"]["FailureReason"], why(described, steps)


def test_a_script_that_crashes(platform, code):
    definition = tenants.processing_pipeline(script_image(), platform.role, arguments=["crash"], code=code)
    described, steps = run(platform, definition, "crashes")
    assert "exit code: 1" in steps["Work"]["FailureReason"], why(described, steps)
    assert "Work" in described["FailureReason"] or "step" in described["FailureReason"].lower()


def test_a_script_that_eats_its_memory(platform, code):
    definition = tenants.processing_pipeline(script_image(), platform.role, arguments=["eat"], code=code)
    described, steps = run(platform, definition, "eats")
    assert "memory" in steps["Work"]["FailureReason"].lower() or "exit code: 137" in steps["Work"]["FailureReason"], why(described, steps)


def test_a_script_that_never_ends(platform, code):
    """The job is stopped at its MaxRuntimeInSeconds."""
    definition = tenants.processing_pipeline(script_image(), platform.role, arguments=["sleep"], code=code)
    definition["Steps"][0]["Arguments"]["StoppingCondition"] = {"MaxRuntimeInSeconds": 3}
    create(platform, definition, "endless")
    sagemaker = platform.client("sagemaker")
    execution = sagemaker.start_pipeline_execution(PipelineName="endless")["PipelineExecutionArn"]
    described, steps = end_of(sagemaker, execution, 300)
    assert described["PipelineExecutionStatus"] in ("Failed", "Stopped") and steps["Work"]["StepStatus"] in ("Failed", "Stopped"), why(described, steps)
    job = steps["Work"]["Metadata"]["ProcessingJob"]["Arn"].split("/")[-1]
    assert sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingJobStatus"] in ("Failed", "Stopped")


def test_bad_training_data(platform, code):
    """The algorithm says what it cannot read, and that becomes the FailureReason."""
    s3 = platform.client("s3")
    s3.put_object(Bucket=platform.bucket, Key="bad/data/train.csv", Body=b"this,is\nnot,numbers\n\x00\xff,1\n")
    channel = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{platform.bucket}/bad/data", "S3DataDistributionType": "FullyReplicated"}
    request = {
        "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
        "RoleArn": platform.role,
        "HyperParameters": {"objective": "reg:squarederror", "num_round": "5"},
        "InputDataConfig": [{"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": channel}}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{platform.bucket}/bad/output"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
    described, steps = run(platform, definition({"Name": "Train", "Type": "Training", "Arguments": request}), "bad-data")
    reason = steps["Train"]["FailureReason"]
    assert "AlgorithmError" in reason or "UserError" in reason or "ClientError" in reason, why(described, steps)
    assert len(reason) > 40


def test_bad_hyperparameters(platform, code):
    """A job that is created directly fails in its own FailureReason."""
    sagemaker = platform.client("sagemaker")
    platform.client("s3").put_object(Bucket=platform.bucket, Key="bad/good/train.csv", Body=b"1,2\n2,3\n" * 20)
    channel = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{platform.bucket}/bad/good", "S3DataDistributionType": "FullyReplicated"}
    sagemaker.create_training_job(
        TrainingJobName="bad-hyperparameters",
        AlgorithmSpecification={"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
        RoleArn=platform.role,
        HyperParameters={"objective": "reg:nonsense", "num_round": "5"},
        InputDataConfig=[{"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": channel}}],
        OutputDataConfig={"S3OutputPath": f"s3://{platform.bucket}/bad/output"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    with pytest.raises(botocore.exceptions.WaiterError):
        waiter.wait(TrainingJobName="bad-hyperparameters", WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    described = sagemaker.describe_training_job(TrainingJobName="bad-hyperparameters")
    assert described["TrainingJobStatus"] == "Failed" and "objective" in described["FailureReason"], described["FailureReason"]
    again = refused(
        sagemaker.create_training_job,
        TrainingJobName="bad-hyperparameters",
        AlgorithmSpecification={"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
        RoleArn=platform.role,
        OutputDataConfig={"S3OutputPath": f"s3://{platform.bucket}/bad/output"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    assert again.response["Error"]["Code"] == "ResourceInUse"


def test_a_model_that_cannot_be_loaded(platform, code):
    """The endpoint ends as Failed with the reason, and can be deleted."""
    packed = io.BytesIO()
    text = b"raise RuntimeError('the model is broken')\n"
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("code/inference.py")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    sagemaker = platform.client("sagemaker")
    platform.client("s3").put_object(Bucket=platform.bucket, Key="bad/model.tar.gz", Body=packed.getvalue())
    missing = {"Image": script_image(), "ModelDataUrl": f"s3://{platform.bucket}/bad/no-model.tar.gz"}
    error = refused(sagemaker.create_model, ModelName="bad-missing", ExecutionRoleArn=platform.role, PrimaryContainer=missing)
    assert error.response["Error"]["Code"] == "ValidationException" and "Could not find model data at" in str(error)
    container = {"Image": script_image(), "ModelDataUrl": f"s3://{platform.bucket}/bad/model.tar.gz"}
    sagemaker.create_model(ModelName="bad-model", ExecutionRoleArn=platform.role, PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": "bad-model", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1, "InitialVariantWeight": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="bad-model", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="bad-model", EndpointConfigName="bad-model")
    with pytest.raises(botocore.exceptions.WaiterError):
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="bad-model", WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    described = sagemaker.describe_endpoint(EndpointName="bad-model")
    assert described["EndpointStatus"] == "Failed" and "did not pass the ping health check" in described["FailureReason"], described
    error = refused(platform.client("sagemaker-runtime").invoke_endpoint, EndpointName="bad-model", ContentType="text/csv", Body=b"1")
    assert error.response["Error"]["Code"] == "ValidationError"
    sagemaker.delete_endpoint(EndpointName="bad-model")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="bad-model", WaiterConfig={"Delay": 1, "MaxAttempts": 120})

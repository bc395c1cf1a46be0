"""What pipelines do beyond one run: versions, selected steps, retries, caches, limits on what runs side by side."""

import json
import time

import pytest

import tenants
from conftest import Platform
from tenants import create_role, end_of, policy, refused, script_image, tenant_client, why
from test_pipelines import create, start

COUNT = """
import os, sys
os.makedirs("/opt/ml/processing/output", exist_ok=True)
open("/opt/ml/processing/output/" + sys.argv[1], "w").write(sys.argv[2])
"""


@pytest.fixture(scope="module")
def bucket(platform):
    s3 = platform.client("s3")
    s3.create_bucket(Bucket=platform.bucket)
    s3.put_object(Bucket=platform.bucket, Key="more/behave.py", Body=COUNT.encode())
    return platform.bucket


@pytest.fixture
def client(platform):
    return platform.client("sagemaker")


def work(platform, bucket, name, *arguments, cache=False, after=()):
    """A processing step that writes its second argument under the name of its first."""
    whole = tenants.processing_pipeline(
        script_image(), platform.role, name=name, arguments=list(arguments), code=f"s3://{bucket}/more/behave.py", output=f"s3://{bucket}/more/out", cache=cache
    )
    step = whole["Steps"][0]
    if after:
        step["DependsOn"] = list(after)
    return step


def decided(name, right):
    """A pipeline that ends at once: it fails with its message unless the values are equal."""
    condition = {"Type": "Equals", "LeftValue": 1, "RightValue": right}
    fail = {"Name": "Bad", "Type": "Fail", "Arguments": {"ErrorMessage": name}}
    check = {"Name": "Check", "Type": "Condition", "Arguments": {"Conditions": [condition], "IfSteps": [], "ElseSteps": [fail]}}
    return {"Version": "2020-12-01", "Steps": [check]}


def test_versions_are_kept_and_started_by_alias(platform, client):
    arn = create(client, platform, "versioned", decided("first", 1))
    updated = client.update_pipeline(PipelineName="versioned", PipelineDefinition=json.dumps(decided("second", 2)))
    assert updated["PipelineVersionId"] == 2
    client.update_pipeline_version(
        PipelineArn=arn, PipelineVersionId=1, PipelineVersionDisplayName="proved", PipelineVersionAliasOperations={"Add": ["live"]}
    )
    versions = client.list_pipeline_versions(PipelineName="versioned")["PipelineVersionSummaries"]
    assert [version["PipelineVersionId"] for version in versions] == [2, 1]
    assert versions[1]["PipelineVersionDisplayName"] == "proved" and versions[1]["PipelineVersionAliases"] == ["live"]
    ends = {}
    for key, more in (("alias", {"PipelineVersionAlias": "live"}), ("number", {"PipelineVersionId": 2}), ("latest", {})):
        execution = client.start_pipeline_execution(PipelineName="versioned", **more)["PipelineExecutionArn"]
        described, steps = end_of(client, execution, 60)
        ends[key] = (described["PipelineVersionId"], described["PipelineExecutionStatus"], described.get("FailureReason"))
    assert ends == {"alias": (1, "Succeeded", None), "number": (2, "Failed", "second"), "latest": (2, "Failed", "second")}, ends
    live = client.list_pipeline_executions(PipelineName="versioned", PipelineVersionAlias="live")["PipelineExecutionSummaries"]
    assert len(live) == 1
    assert json.loads(client.describe_pipeline(PipelineName="versioned", PipelineVersionId=1)["PipelineDefinition"]) == decided("first", 1)
    error = refused(client.update_pipeline_version, PipelineArn=arn, PipelineVersionId=2, PipelineVersionAliasOperations={"Add": ["live"]})
    assert error.response["Error"]["Code"] == "ConflictException"
    error = refused(client.start_pipeline_execution, PipelineName="versioned", PipelineVersionAlias="gone")
    assert error.response["Error"]["Code"] == "ResourceNotFound"


def test_the_sdk_runs_selected_steps_again(platform, sdk, bucket, client):
    from sagemaker.workflow.pipeline import Pipeline
    from sagemaker.workflow.selective_execution_config import SelectiveExecutionConfig

    steps = [work(platform, bucket, name, name, "x", after=after) for name, after in (("One", ()), ("Two", ("One",)), ("Three", ("Two",)))]
    create(client, platform, "selected", {"Version": "2020-12-01", "Steps": steps})
    pipeline = Pipeline(name="selected", sagemaker_session=sdk)
    first = pipeline.start()
    described, _ = end_of(client, first.arn)
    assert described["PipelineExecutionStatus"] == "Succeeded"
    # The SDK asks for the latest execution itself.
    again = pipeline.start(selective_execution_config=SelectiveExecutionConfig(selected_steps=["Three"]))
    described, found = end_of(client, again.arn)
    assert described["PipelineExecutionStatus"] == "Succeeded", why(described, found)
    assert described["SelectiveExecutionConfig"]["SourcePipelineExecutionArn"] == first.arn
    assert found["Two"]["SelectiveExecutionResult"]["SourcePipelineExecutionArn"] == first.arn
    assert "SelectiveExecutionResult" not in found["Three"] and "One" not in found
    for chosen, says in ((["One", "Three"], "step [Two] stands between selected steps"), (["Four"], "has no step [Four]")):
        config = {"SourcePipelineExecutionArn": first.arn, "SelectedSteps": [{"StepName": name} for name in chosen]}
        error = refused(client.start_pipeline_execution, PipelineName="selected", SelectiveExecutionConfig=config)
        assert error.response["Error"]["Code"] == "ValidationException" and says in str(error), error
    config = {"SelectedSteps": [{"StepName": "Three"}]}
    error = refused(client.start_pipeline_execution, PipelineName="selected", SelectiveExecutionConfig=config)
    assert "have dependencies on [Two]" in str(error), error


def test_one_step_at_a_time(platform, client, bucket):
    steps = [work(platform, bucket, name, name, "x") for name in ("A", "B", "C")]
    limit = {"MaxParallelExecutionSteps": 1}
    create(client, platform, "narrow", {"Version": "2020-12-01", "Steps": steps}, ParallelismConfiguration=limit)
    assert client.describe_pipeline(PipelineName="narrow")["ParallelismConfiguration"] == limit
    execution = start(client, "narrow")
    described, found = end_of(client, execution)
    assert described["PipelineExecutionStatus"] == "Succeeded", why(described, found)
    assert described["ParallelismConfiguration"] == limit
    times = sorted((step["StartTime"], step["EndTime"]) for step in found.values())
    assert all(before[1] <= after[0] for before, after in zip(times, times[1:])), times


def test_a_cache_expires_and_other_arguments_miss_it(platform, client, bucket):
    definition = {"Version": "2020-12-01", "Parameters": [{"Name": "Word", "DefaultValue": "same"}]}
    step = work(platform, bucket, "Cached", "word", "x", cache=True)
    step["Arguments"]["AppSpecification"]["ContainerArguments"] = ["word", {"Get": "Parameters.Word"}]
    create(client, platform, "cached", {**definition, "Steps": [step]})
    first = start(client, "cached")
    assert end_of(client, first)[0]["PipelineExecutionStatus"] == "Succeeded"
    _, found = end_of(client, start(client, "cached"))
    assert found["Cached"]["CacheHitResult"]["SourcePipelineExecutionArn"] == first
    assert found["Cached"]["Metadata"]["ProcessingJob"]["Arn"]
    _, found = end_of(client, start(client, "cached", Word="other"))
    assert "CacheHitResult" not in found["Cached"]
    step["CacheConfig"] = {"Enabled": True, "ExpireAfter": "PT1S"}
    client.update_pipeline(PipelineName="cached", PipelineDefinition=json.dumps({**definition, "Steps": [step]}))
    time.sleep(2.5)
    _, found = end_of(client, start(client, "cached"))
    assert "CacheHitResult" not in found["Cached"], "what has expired is not reused"


def test_the_sdks_retry_policies_are_followed(platform, client, bucket):
    """A step that asks for more machines than there may be is tried again as often as its policy says."""
    from sagemaker.workflow.retry import SageMakerJobExceptionTypeEnum, SageMakerJobStepRetryPolicy

    many = work(platform, bucket, "Many", "many", "x")
    many["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 100
    once = {**work(platform, bucket, "Once", "once", "x")}
    once["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 100
    limited = SageMakerJobStepRetryPolicy(
        exception_types=[SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT], interval_seconds=1, backoff_rate=1.0, max_attempts=2
    )
    other = SageMakerJobStepRetryPolicy(exception_types=[SageMakerJobExceptionTypeEnum.CAPACITY_ERROR], interval_seconds=1, max_attempts=2)
    many["RetryPolicies"], once["RetryPolicies"] = [other.to_request(), limited.to_request()], [other.to_request()]
    for step, attempts in ((many, 3), (once, 1)):
        create(client, platform, f"retried-{step['Name']}", {"Version": "2020-12-01", "Steps": [step]})
        described, found = end_of(client, start(client, f"retried-{step['Name']}"), 120)
        assert described["PipelineExecutionStatus"] == "Failed", why(described, found)
        assert "limit" in found[step["Name"]]["FailureReason"], found
        assert found[step["Name"]]["AttemptCount"] == attempts, found


@pytest.mark.parametrize("kind", ["Lambda", "Callback", "EMR", "QualityCheck", "ClarifyCheck", "AutoML", "NotebookJob"])
def test_what_is_not_built_is_refused_before_anything_runs(platform, client, kind):
    definition = {"Version": "2020-12-01", "Steps": [{"Name": "Later", "Type": kind, "Arguments": {}}]}
    error = refused(create, client=client, platform=platform, name=f"reserved-{kind}", definition=definition)
    assert error.response["Error"]["Code"] == "ValidationException" and f"step [Later]: type [{kind}] is not supported" in str(error), error


def test_a_policy_can_keep_a_tenant_to_a_proved_version(platform: Platform, client):
    create(client, platform, "governed", decided("first", 1))
    client.update_pipeline(PipelineName="governed", PipelineDefinition=json.dumps(decided("second", 2)))
    statement = {
        "Effect": "Allow", "Action": "sagemaker:StartPipelineExecution", "Resource": "*",
        "Condition": {"NumericEquals": {"sagemaker:PipelineVersionId": "1"}},
    }
    role = create_role(platform, "proved-only", statement)
    tenant = tenant_client(platform, "sagemaker", role, "tenant1")
    assert tenant.start_pipeline_execution(PipelineName="governed", PipelineVersionId=1)["PipelineExecutionArn"]
    for more in ({}, {"PipelineVersionId": 2}):
        assert refused(tenant.start_pipeline_execution, PipelineName="governed", **more).response["Error"]["Code"] == "AccessDeniedException"

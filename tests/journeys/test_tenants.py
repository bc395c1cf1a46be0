"""Tenants start their own pipelines and call their own models, and nobody else's."""

import io
import json
import tarfile

import pytest

import tenants
from conftest import REGION, sdk_session
from tenants import create_role, denial, end_of, policy, refused, steps_of, tenant_client, tenant_credentials, why

BEHAVE = "code/behave.py"


@pytest.fixture(scope="module")
def pipelines(platform, tmp_path_factory):
    """Four pipelines, built with the SDK and upserted twice; sample data of the tenants' apps."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield make_pipelines(platform, sdk_session(platform, monkeypatch), str(tmp_path_factory.mktemp("houses")))


def make_pipelines(platform, session, place):
    import houses
    import sagemaker
    from pipelines import TENANTS, build
    from sagemaker.s3 import S3Uploader

    assert session.default_bucket() == platform.bucket
    assert sagemaker.get_execution_role(session) == platform.role
    data = houses.write(place)
    made = {}
    for tenant, app in TENANTS:
        tags = [{"Key": "TenantID", "Value": tenant}, {"Key": "AppID", "Value": app}]
        pipeline = build(session.boto_session, platform.bucket, platform.role, tenant, app)
        made[pipeline.name] = pipeline.upsert(role_arn=platform.role, tags=tags)["PipelineArn"]
        S3Uploader.upload(data, f"s3://{platform.bucket}/sample-data/{tenant}/{app}", sagemaker_session=session)
    # Again: it is there already, so upsert updates it and keeps its tags.
    again = build(session.boto_session, platform.bucket, platform.role, "tenant1", "app1")
    assert again.upsert(role_arn=platform.role, tags=[{"Key": "AppID", "Value": "app1"}])["PipelineArn"] == made["tenant1-app1"]
    S3Uploader.upload(str(tenants.ASSETS / "behave.py"), f"s3://{platform.bucket}/code", sagemaker_session=session)
    return made


@pytest.fixture(scope="module")
def start_role(platform):
    """Starts what has the tenant's name and the tenant's tag."""
    statement = {
        "Effect": "Allow",
        "Action": "sagemaker:StartPipelineExecution",
        "Resource": f"arn:aws:sagemaker:{REGION}:{platform.account}:pipeline/${{aws:PrincipalTag/TenantID}}-*",
        "Condition": {"StringEquals": {"aws:ResourceTag/TenantID": "${aws:PrincipalTag/TenantID}"}},
    }
    return create_role(platform, "TenantStartRole", statement)


@pytest.fixture(scope="module")
def tenant1(platform, start_role):
    return tenant_client(platform, "sagemaker", start_role, "tenant1")


@pytest.fixture(scope="module")
def finished(platform, pipelines, tenant1):
    """tenant1 starts its pipeline; the platform sees it end."""
    from pipelines import start_arguments

    parameters = start_arguments(platform.bucket, "tenant1", "app1")
    execution = tenant1.start_pipeline_execution(PipelineName="tenant1-app1", PipelineParameters=parameters)["PipelineExecutionArn"]
    described, steps = end_of(platform.client("sagemaker"), execution)
    assert described["PipelineExecutionStatus"] == "Succeeded", why(described, steps)
    return execution, steps


def tagged(platform, name, definition, *tags):
    """A pipeline made by the platform. Returns its ARN."""
    tags = [{"Key": key, "Value": value} for key, value in tags]
    made = platform.client("sagemaker").create_pipeline(
        PipelineName=name, PipelineDefinition=json.dumps(definition), RoleArn=platform.role, ClientRequestToken=name.ljust(32, "x"), Tags=tags
    )
    return made["PipelineArn"]


def work(platform, *arguments, **given):
    return tenants.processing_pipeline(
        tenants.script_image(), platform.role, arguments=list(arguments), code=f"s3://{platform.bucket}/{BEHAVE}", **given
    )


def test_pipelines_are_tagged(platform, pipelines):
    sagemaker = platform.client("sagemaker")
    assert sorted(pipelines) == ["tenant1-app1", "tenant1-app2", "tenant2-app1", "tenant2-app2"]
    for name, arn in pipelines.items():
        tenant, app = name.split("-")
        tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
        assert tags["TenantID"] == tenant and tags["AppID"] == app
    listed = sagemaker.list_pipelines(PipelineNamePrefix="tenant")["PipelineSummaries"]
    assert {one["PipelineName"] for one in listed} >= set(pipelines)
    described = sagemaker.describe_pipeline(PipelineName="tenant1-app1")
    assert described["RoleArn"] == platform.role and described["LastModifiedTime"] > described["CreationTime"]
    read = platform.instance.cli("sagemaker", "list-tags", "--resource-arn", pipelines["tenant2-app1"], credentials=platform.credentials)
    assert {"Key": "TenantID", "Value": "tenant2"} in json.loads(read.stdout)["Tags"]


def test_a_tenant_starts_only_its_own(platform, pipelines, finished, tenant1, start_role):
    user = f"arn:aws:sts::{platform.account}:assumed-role/TenantStartRole/tenant1"
    error = refused(tenant1.start_pipeline_execution, PipelineName="tenant2-app1", PipelineParameters=[])
    assert str(error) == denial("StartPipelineExecution", user, "sagemaker:StartPipelineExecution", pipelines["tenant2-app1"])
    tenant2 = tenant_client(platform, "sagemaker", start_role, "tenant2")
    error = refused(tenant2.start_pipeline_execution, PipelineName="tenant1-app1", PipelineParameters=[])
    assert error.response["Error"]["Code"] == "AccessDeniedException" and "tenant2 is not authorized" in str(error)
    words = ["sagemaker", "start-pipeline-execution", "--pipeline-name", "tenant2-app1"]
    told = platform.instance.cli(*words, credentials=tenant_credentials(platform, start_role, "tenant1"), check=False)
    sentence = denial("StartPipelineExecution", user, "sagemaker:StartPipelineExecution", pipelines["tenant2-app1"])
    assert told.returncode in (254, 255) and sentence in told.stderr


def test_name_and_tag_must_both_be_the_tenants(platform, pipelines, tenant1):
    definition = work(platform, "sleep", "0")
    for name, tags in (("tenant1-of2", [("TenantID", "tenant2")]), ("tenant1-untagged", []), ("other-of1", [("TenantID", "tenant1")])):
        arn = tagged(platform, name, definition, *tags)
        error = refused(tenant1.start_pipeline_execution, PipelineName=name)
        assert error.response["Error"]["Code"] == "AccessDeniedException"
        assert str(error).endswith(f"on resource: {arn} because no identity-based policy allows the sagemaker:StartPipelineExecution action")
    # The tag is read at every request: put right, the next start is allowed.
    untagged = f"arn:aws:sagemaker:{REGION}:{platform.account}:pipeline/tenant1-untagged"
    platform.client("sagemaker").add_tags(ResourceArn=untagged, Tags=[{"Key": "TenantID", "Value": "tenant1"}])
    assert tenant1.start_pipeline_execution(PipelineName="tenant1-untagged")["PipelineExecutionArn"].startswith(f"{untagged}/execution/")


def test_a_tenant_may_do_nothing_else(platform, pipelines, tenant1):
    user = f"arn:aws:sts::{platform.account}:assumed-role/TenantStartRole/tenant1"
    error = refused(tenant1.describe_pipeline, PipelineName="tenant1-app1")
    assert str(error) == denial("DescribePipeline", user, "sagemaker:DescribePipeline", pipelines["tenant1-app1"])
    calls = [
        (tenant1.list_pipelines, {}),
        (tenant1.delete_pipeline, {"PipelineName": "tenant1-app1"}),
        (tenant1.list_pipeline_executions, {"PipelineName": "tenant1-app1"}),
        (tenant1.add_tags, {"ResourceArn": pipelines["tenant2-app1"], "Tags": [{"Key": "TenantID", "Value": "tenant1"}]}),
        (tenant1.update_pipeline, {"PipelineName": "tenant1-app1", "PipelineDefinition": "{}"}),
        # What does not exist is not told from what is not allowed.
        (tenant1.describe_pipeline, {"PipelineName": "no-such-pipeline"}),
        (tenant1.start_pipeline_execution, {"PipelineName": "tenant2-no-such-pipeline"}),
    ]
    for call, arguments in calls:
        assert refused(call, **arguments).response["Error"]["Code"] == "AccessDeniedException", (call, arguments)


def test_only_the_platforms_session_becomes_a_tenant(platform, start_role):
    wanted = {"RoleArn": start_role, "RoleSessionName": "tenant1"}
    tag = {"Tags": [{"Key": "TenantID", "Value": "tenant1"}]}
    sts = platform.client("sts")
    iam = platform.instance.client("iam")
    iam.create_role(RoleName="OtherRole", AssumeRolePolicyDocument=policy({"Effect": "Allow", "Principal": {"AWS": platform.account}, "Action": "sts:AssumeRole"}))
    other = platform.instance.client("sts").assume_role(RoleArn=f"arn:aws:iam::{platform.account}:role/OtherRole", RoleSessionName="SageMaker")
    attempts = [
        (sts, wanted),
        (sts, wanted | {"Tags": [{"Key": "TenantID", "Value": "someone"}]}),
        (sts, wanted | {"Tags": [{"Key": "Tenant", "Value": "tenant1"}]}),
        (platform.instance.client("sts", platform.assume("Somebody")), wanted | tag),
        (platform.instance.client("sts", other["Credentials"]), wanted | tag),
    ]
    for client, arguments in attempts:
        error = refused(client.assume_role, **arguments)
        assert error.response["Error"]["Code"] == "AccessDenied", arguments
        assert "is not authorized to perform: sts:" in str(error) and start_role in str(error)
    assert sts.assume_role(**wanted, **tag)["AssumedRoleUser"]["Arn"].endswith("/TenantStartRole/tenant1")


def test_the_execution_trained_registered_and_published(platform, finished):
    execution, steps = finished
    sagemaker, s3 = platform.client("sagemaker"), platform.client("s3")
    assert {step["StepStatus"] for step in steps.values()} == {"Succeeded"}, steps
    train = sagemaker.describe_training_job(TrainingJobName=steps["tenant1-app1-Train"]["Metadata"]["TrainingJob"]["Arn"].split("/")[-1])
    assert train["ResourceConfig"]["InstanceCount"] == 2 and train["TrainingJobStatus"] == "Completed"
    metrics = {metric["MetricName"]: metric["Value"] for metric in train.get("FinalMetricDataList", [])}
    assert 0 < metrics["train:rmse"] < 100_000 and "validation:rmse" in metrics
    assert steps["tenant1-app1-GoodEnough"]["Metadata"]["Condition"]["Outcome"].lower() == "true"

    group = sagemaker.describe_model_package_group(ModelPackageGroupName="tenant1-app1-PipelineAppPackageGroup")
    assert group["ModelPackageGroupStatus"] == "Completed"
    packages = sagemaker.list_model_packages(ModelPackageGroupName="tenant1-app1-PipelineAppPackageGroup")["ModelPackageSummaryList"]
    assert len(packages) == 1 and packages[0]["ModelApprovalStatus"] == "Approved" and packages[0]["ModelPackageVersion"] == 1
    package = sagemaker.describe_model_package(ModelPackageName=packages[0]["ModelPackageArn"])
    artifacts = package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    assert artifacts == train["ModelArtifacts"]["S3ModelArtifacts"]
    statistics = package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    bucket, key = statistics.removeprefix("s3://").split("/", 1)
    report = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert 0 < report["regression_metrics"]["max_error"]["value"] <= 150_000

    published = s3.get_object(Bucket=platform.bucket, Key="model_artifacts_mme/tenant1-app1.model.0.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(published)) as archive:
        assert {"fil/config.pbtxt", "fil/1/xgboost.json"} <= set(archive.getnames())

    logs = platform.client("logs")
    job = train["TrainingJobName"]
    streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{job}/")["logStreams"]
    assert len(streams) == 2, "a stream of each host"


def test_parameters_are_as_given(platform, finished):
    execution, _ = finished
    pages = platform.client("sagemaker").get_paginator("list_pipeline_parameters_for_execution").paginate(PipelineExecutionArn=execution)
    found = {one["Name"]: one["Value"] for page in pages for one in page["PipelineParameters"]}
    assert found["TrainingInstanceCount"] == "2" and found["TenantID"] == "tenant1" and found["TenantTier"] == "Bronze"


def test_bad_parameters_are_refused(platform, pipelines, tenant1):
    from pipelines import start_arguments

    good = start_arguments(platform.bucket, "tenant1", "app1")
    for parameters in (
        start_arguments(platform.bucket, "tenant1", "app1", TrainingInstanceCount="two"),
        [*good, {"Name": "Nobody", "Value": "knows"}],
        [one for one in good if one["Name"] != "TrainDataPath"],
    ):
        error = refused(tenant1.start_pipeline_execution, PipelineName="tenant1-app1", PipelineParameters=parameters)
        assert error.response["Error"]["Code"] == "ValidationException", parameters


def test_training_is_cached_and_a_bad_model_is_not_published(platform, finished, tenant1):
    """The same training within the 30 days is not done again; the condition's other branch is empty."""
    from pipelines import start_arguments

    first, steps = finished
    sagemaker = platform.client("sagemaker")
    parameters = start_arguments(platform.bucket, "tenant1", "app1", MaxError="1.0", ModelVersion="1")
    execution = tenant1.start_pipeline_execution(PipelineName="tenant1-app1", PipelineParameters=parameters)["PipelineExecutionArn"]
    described, again = end_of(sagemaker, execution)
    assert described["PipelineExecutionStatus"] == "Succeeded", why(described, again)
    assert again["tenant1-app1-Train"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
    assert "CacheHitResult" not in again["tenant1-app1-Evaluate"]
    assert again["tenant1-app1-GoodEnough"]["Metadata"]["Condition"]["Outcome"].lower() == "false"
    skipped = [name for name in again if "Register" in name or "Publish" in name]
    assert not any(again[name]["StepStatus"] == "Succeeded" for name in skipped)
    packages = sagemaker.list_model_packages(ModelPackageGroupName="tenant1-app1-PipelineAppPackageGroup")["ModelPackageSummaryList"]
    assert len(packages) == 1
    listed = platform.client("s3").list_objects_v2(Bucket=platform.bucket, Prefix="model_artifacts_mme/tenant1-app1.model.1")
    assert listed["KeyCount"] == 0


def test_a_gold_tenant_has_a_prefix_of_its_own(platform, finished, sdk):
    """Started, awaited and listed by the SDK."""
    from pipelines import start_arguments
    from sagemaker.workflow.pipeline import Pipeline

    parameters = start_arguments(platform.bucket, "tenant2", "app1", TenantTier="Gold", TrainingInstanceCount=1)
    started = Pipeline("tenant2-app1", sagemaker_session=sdk).start(parameters={one["Name"]: one["Value"] for one in parameters})
    started.wait(delay=1, max_attempts=600)
    assert started.describe()["PipelineExecutionStatus"] == "Succeeded"
    steps = {step["StepName"]: step["StepStatus"] for step in started.list_steps()}
    assert set(steps.values()) == {"Succeeded"} and len(steps) == 5, steps
    platform.client("s3").head_object(Bucket=platform.bucket, Key="tenant2/model_artifacts/tenant2-app1.model.0.tar.gz")


def test_a_script_sees_its_role_and_may_install_packages(platform, pipelines):
    """Credentials, region and packages come by the job's broker; with network isolation nothing does."""
    sagemaker, s3 = platform.client("sagemaker"), platform.client("s3")
    started = {}
    for name, isolated in (("reach-open", False), ("reach-isolated", True)):
        output = f"s3://{platform.bucket}/{name}"
        tagged(platform, name, work(platform, "reach", output=output, isolated=isolated))
        started[name] = sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]
    found = {}
    for name, execution in started.items():
        described, steps = end_of(sagemaker, execution)
        assert described["PipelineExecutionStatus"] == "Succeeded", why(described, steps)
        found[name] = json.loads(s3.get_object(Bucket=platform.bucket, Key=f"{name}/result.json")["Body"].read())
    open_, isolated = found["reach-open"], found["reach-isolated"]
    assert open_["arn"] == f"arn:aws:sts::{platform.account}:assumed-role/{platform.ROLE}/SageMaker" and open_["region"] == REGION
    assert open_["installed"] and open_["package"] == "iniconfig"
    assert not isolated["installed"] and "arn" not in isolated


def test_a_script_sees_nothing_of_the_instance(platform, pipelines):
    """No file of the server or the host, no port of it, no other process."""
    sagemaker = platform.client("sagemaker")
    port = platform.instance.url.rsplit(":", 1)[1]
    tagged(platform, "pry", work(platform, "pry", str(platform.instance.data), port, output=f"s3://{platform.bucket}/pry"))
    execution = sagemaker.start_pipeline_execution(PipelineName="pry")["PipelineExecutionArn"]
    described, steps = end_of(sagemaker, execution)
    assert described["PipelineExecutionStatus"] == "Succeeded", why(described, steps)
    found = json.loads(platform.client("s3").get_object(Bucket=platform.bucket, Key="pry/result.json")["Body"].read())
    assert found["uid"] != 0 and found["processes"] < 10, found
    assert found["open"] == [] and found["reached"] == [], found


def test_a_failed_step_fails_the_execution_and_can_be_retried(platform, pipelines):
    sagemaker = platform.client("sagemaker")
    definition = work(platform, "sleep", "0", name="First")
    second = work(platform, "wait_for", platform.bucket, "marker/ready", name="Second")["Steps"][0]
    definition["Steps"].append(second | {"DependsOn": ["First"]})
    tagged(platform, "retried", definition)
    execution = sagemaker.start_pipeline_execution(PipelineName="retried")["PipelineExecutionArn"]
    described, steps = end_of(sagemaker, execution)
    assert described["PipelineExecutionStatus"] == "Failed" and described["FailureReason"], why(described, steps)
    assert steps["First"]["StepStatus"] == "Succeeded" and steps["Second"]["StepStatus"] == "Failed"
    assert "exit code: 1" in steps["Second"]["FailureReason"], why(described, steps)

    platform.client("s3").put_object(Bucket=platform.bucket, Key="marker/ready", Body=b"now")
    token = "retry-".ljust(32, "x")
    assert sagemaker.retry_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken=token)["PipelineExecutionArn"] == execution
    described, retried = end_of(sagemaker, execution)
    assert described["PipelineExecutionStatus"] == "Succeeded", why(described, retried)
    assert retried["First"]["Metadata"] == steps["First"]["Metadata"], "what had succeeded is not done again"
    assert retried["Second"]["StepStatus"] == "Succeeded"


def test_an_execution_is_stopped(platform, pipelines, wait):
    sagemaker = platform.client("sagemaker")
    tagged(platform, "stopped", work(platform, "sleep"))
    execution = sagemaker.start_pipeline_execution(PipelineName="stopped")["PipelineExecutionArn"]
    steps = wait(lambda: steps_of(sagemaker, execution), lambda steps: steps.get("Work", {}).get("Metadata", {}).get("ProcessingJob"), 300)
    job = steps["Work"]["Metadata"]["ProcessingJob"]["Arn"].split("/")[-1]
    token = "stop-".ljust(32, "x")
    sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution, ClientRequestToken=token)
    described, steps = end_of(sagemaker, execution, 180)
    assert described["PipelineExecutionStatus"] == "Stopped" and steps["Work"]["StepStatus"] == "Stopped", why(described, steps)
    assert sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingJobStatus"] == "Stopped"


def test_tenants_share_an_endpoint_and_call_only_their_own_models(platform, finished):
    sagemaker = platform.client("sagemaker")
    image = f"785573368785.dkr.ecr.{REGION}.amazonaws.com/sagemaker-tritonserver:23.03-py3"
    container = {
        "Image": image,
        "ModelDataUrl": f"s3://{platform.bucket}/model_artifacts_mme/",
        "Mode": "MultiModel",
        "Environment": {"SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "fil"},
    }
    sagemaker.create_model(ModelName="pool", ExecutionRoleArn=platform.role, PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": "pool", "InstanceType": "ml.m5.2xlarge", "InitialInstanceCount": 1, "InitialVariantWeight": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="pool", ProductionVariants=[variant])
    arn = sagemaker.create_endpoint(EndpointName="pool-models", EndpointConfigName="pool", Tags=[{"Key": "Pool", "Value": "all"}])["EndpointArn"]
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="pool-models", WaiterConfig={"Delay": 1, "MaxAttempts": 600})

    statement = {
        "Effect": "Allow",
        "Action": "sagemaker:InvokeEndpoint",
        "Resource": f"arn:aws:sagemaker:{REGION}:{platform.account}:endpoint/pool-*",
        "Condition": {"StringLike": {"sagemaker:TargetModel": "${aws:PrincipalTag/TenantID}*.tar.gz"}},
    }
    role = create_role(platform, "TenantInvokeRole", statement)
    runtime = tenant_client(platform, "sagemaker-runtime", role, "tenant1", read_timeout=120)
    house = {"name": "input__0", "shape": [1, 6], "datatype": "FP32", "data": [1997.0, 2527.0, 6.0, 2.5, 0.57, 1.0]}
    request = {"EndpointName": "pool-models", "ContentType": "application/octet-stream", "Body": json.dumps({"inputs": [house]})}
    answer = runtime.invoke_endpoint(TargetModel="tenant1-app1.model.0.tar.gz", **request)
    data = json.loads(answer["Body"].read())["outputs"][0]["data"]
    assert len(data) == 1 and isinstance(data[0], float) and 200_000 < data[0] < 800_000, data

    sentence = denial("InvokeEndpoint", f"arn:aws:sts::{platform.account}:assumed-role/TenantInvokeRole/tenant1", "sagemaker:InvokeEndpoint", arn)
    assert str(refused(runtime.invoke_endpoint, TargetModel="tenant2-app1.model.0.tar.gz", **request)) == sentence
    assert str(refused(runtime.invoke_endpoint, **request)) == sentence
    missing = refused(runtime.invoke_endpoint, TargetModel="tenant1-app9.model.0.tar.gz", **request)
    assert missing.response["Error"]["Code"] == "ValidationError"
    broken = request | {"Body": b"not json"}
    assert refused(runtime.invoke_endpoint, TargetModel="tenant1-app1.model.0.tar.gz", **broken).response["Error"]["Code"] == "ModelError"

    sagemaker.delete_endpoint(EndpointName="pool-models")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="pool-models", WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    sagemaker.delete_endpoint_config(EndpointConfigName="pool")
    sagemaker.delete_model(ModelName="pool")
    gone = refused(sagemaker.describe_endpoint, EndpointName="pool-models")
    assert gone.response["Error"]["Code"] == "ValidationException" and "Could not find endpoint" in str(gone)

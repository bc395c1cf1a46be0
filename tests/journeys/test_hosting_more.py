"""Hosting beyond one container and one moment: pipelines of containers, traffic that moves in steps, joined transforms."""

import gzip
import json
import threading
import time

import pytest

from conftest import Platform
from tenants import refused
from test_hosting import INFERENCE, SCRIPT, Hosting, transformed

# A model that adds up the columns of each row, in the format that was asked for.
SUMS = """
import json

def model_fn(directory):
    return None

def transform_fn(model, data, content_type, accept):
    text = data if isinstance(data, str) else bytes(data).decode()
    rows = [line for line in text.splitlines() if line.strip()]
    if "json" in content_type:
        return "".join(json.dumps({"sum": sum(json.loads(row))}) + "\\n" for row in rows), "application/jsonlines"
    return "".join(f"{sum(float(cell) for cell in row.split(','))}\\n" for row in rows), "text/csv"
"""


@pytest.fixture(scope="module")
def hosting(platform: Platform):
    return Hosting(platform)


def read(hosting, key):
    return hosting.s3.get_object(Bucket=hosting.bucket, Key=key)["Body"].read().decode()


@pytest.fixture(scope="module")
def sums(hosting):
    hosting.model("sums", SCRIPT, ModelDataUrl=hosting.put("sums.tar.gz", {"answer": "", "code/inference.py": SUMS}))
    return "sums"


def test_the_sdk_joins_predictions_to_their_rows(hosting, sums, sdk):
    from sagemaker.transformer import Transformer

    hosting.s3.put_object(Bucket=hosting.bucket, Key="rows/a.csv", Body=b'"x,1",1,2\r\ny,3,4\n' + b"z,0,1\n" * 50)
    transformer = Transformer(
        model_name=sums, instance_count=1, instance_type="ml.m5.large", strategy="MultiRecord", assemble_with="Line",
        output_path=f"s3://{hosting.bucket}/joined", accept="text/csv", sagemaker_session=sdk,
    )
    source = f"s3://{hosting.bucket}/rows"
    transformer.transform(
        source, content_type="text/csv", split_type="Line", input_filter="$[1:]", join_source="Input", output_filter="$[0,-1]", logs=False
    )
    lines = read(hosting, "joined/a.csv.out").splitlines()
    assert lines == ['"x,1",3.0', "y,7.0"] + ["z,1.0"] * 50


def jobs(hosting, name, key, kind, processing, **source):
    return hosting.sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName="sums",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{hosting.bucket}/{key}"}},
            "ContentType": kind, "SplitType": "Line", **source,
        },
        TransformOutput={"S3OutputPath": f"s3://{hosting.bucket}/joined", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        DataProcessing=processing,
    )


def test_packed_documents_are_joined_under_their_names(hosting, sums):
    lines = [{"id": number, "features": [number, 1], "note": "left out"} for number in range(20)]
    packed = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
    hosting.s3.put_object(Bucket=hosting.bucket, Key="documents/d.jsonl.gz", Body=packed)
    processing = {"InputFilter": "$.features", "JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"}
    jobs(hosting, "documents", "documents/", "application/jsonlines", processing, CompressionType="Gzip")
    described = transformed(hosting, "documents")
    assert described["TransformJobStatus"] == "Completed", described
    assert described["DataProcessing"] == processing
    out = [json.loads(line) for line in read(hosting, "joined/d.jsonl.gz.out").splitlines()]
    assert out == [{"id": number, "SageMakerOutput": {"sum": number + 1}} for number in range(20)]


def test_filters_that_cannot_be_are_refused_or_fail_with_their_reason(hosting, sums, wait):
    for processing, kind, says in (
        ({"InputFilter": "$..a"}, "application/json", "InputFilter $..a is not a JSONPath"),
        ({"JoinSource": "Input"}, "image/png", "need a ContentType"),
        ({"InputFilter": "$.a"}, "text/csv", "must select columns"),
    ):
        error = refused(jobs, hosting=hosting, name="no-filter", key="rows/", kind=kind, processing=processing)
        assert error.response["Error"]["Code"] == "ValidationException" and says in str(error), error
    hosting.s3.put_object(Bucket=hosting.bucket, Key="short/a.csv", Body=b"1,2\n")
    jobs(hosting, "outside", "short/", "text/csv", {"OutputFilter": "$[7]", "JoinSource": "Input"})
    described = transformed(hosting, "outside")
    assert (described["TransformJobStatus"], described["FailureReason"]) == ("Failed", "ClientError: See job logs for more information")
    logs = hosting.platform.instance.client("logs")
    group = "/aws/sagemaker/TransformJobs"
    told = wait(
        lambda: [event["message"] for event in logs.filter_log_events(logGroupName=group, logStreamNamePrefix="outside/")["events"]],
        lambda lines: any("index 7 is outside of 3 elements" in line for line in lines), 30,
    )
    assert told


def test_the_sdk_deploys_a_pipeline_of_containers(hosting, sdk):
    from sagemaker.model import Model
    from sagemaker.pipeline import PipelineModel

    models = []
    for name in ("first", "second"):
        hosting.script(f"chain-{name}", name)
        models.append(Model(image_uri=SCRIPT, model_data=f"s3://{hosting.bucket}/chain-{name}.tar.gz", role=hosting.platform.role, sagemaker_session=sdk))
    chain = PipelineModel(models=models, role=hosting.platform.role, name="chain", sagemaker_session=sdk)
    chain.deploy(initial_instance_count=1, instance_type="ml.t2.medium", endpoint_name="chain", container_startup_health_check_timeout=600)
    assert hosting.ask("chain") == "second first x"
    error = refused(hosting.ask, name="chain", text="fail")
    assert error.response["Error"]["Code"] == "ModelError" and "from container-1" in str(error), error
    images = hosting.sagemaker.describe_endpoint(EndpointName="chain")["ProductionVariants"][0]["DeployedImages"]
    assert len(images) == 2
    hosting.deleted("chain")


def test_containers_are_invoked_by_their_names(hosting):
    containers = []
    for name in ("left", "right"):
        data = hosting.put(f"direct-{name}.tar.gz", {"answer": name, "code/inference.py": INFERENCE})
        containers.append({"Image": SCRIPT, "ModelDataUrl": data, "ContainerHostname": name})
    hosting.sagemaker.create_model(
        ModelName="direct", ExecutionRoleArn=hosting.platform.role, Containers=containers, InferenceExecutionConfig={"Mode": "Direct"}
    )
    hosting.config("direct", "direct")
    hosting.endpoint("direct")
    hosting.until("direct", "InService")
    for name in ("left", "right"):
        assert hosting.ask("direct", TargetContainerHostname=name) == f"{name} x"
    for more in ({}, {"TargetContainerHostname": "middle"}):
        assert refused(hosting.ask, name="direct", **more).response["Error"]["Code"] == "ValidationError"
    hosting.deleted("direct")


def test_a_canary_drops_no_request(hosting):
    for name in ("calm", "bold"):
        hosting.script(name, name)
        hosting.config(f"canary-{name}", name)
    hosting.endpoint("canary", "canary-calm")
    hosting.until("canary", "InService")
    answers, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                answers.append(hosting.ask("canary", "sleep 0.05"))
            except Exception as error:  # told by the main thread
                answers.append(repr(error))

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        routing = {"Type": "CANARY", "WaitIntervalInSeconds": 10, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 50}}
        policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 2}
        error = refused(
            hosting.sagemaker.update_endpoint, EndpointName="canary", EndpointConfigName="canary-bold",
            DeploymentConfig={"BlueGreenUpdatePolicy": policy, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}},
        )
        assert "AutoRollbackConfiguration is not supported" in str(error)
        hosting.sagemaker.update_endpoint(EndpointName="canary", EndpointConfigName="canary-bold", DeploymentConfig={"BlueGreenUpdatePolicy": policy})
        seen, end = set(), time.monotonic() + 600
        while (described := hosting.sagemaker.describe_endpoint(EndpointName="canary"))["EndpointStatus"] == "Updating":
            assert time.monotonic() < end, described
            for variant in described.get("PendingDeploymentSummary", {}).get("ProductionVariants", []):
                seen.add(variant["VariantStatus"][0]["Status"])
            time.sleep(0.2)
        assert described["EndpointStatus"] == "InService" and described["EndpointConfigName"] == "canary-bold", described
        assert "ActivatingTraffic" in seen, seen
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    assert {answer.split()[0] for answer in answers} == {"calm", "bold"}, [a for a in answers if not a.startswith(("calm", "bold"))][:3]
    hosting.deleted("canary")

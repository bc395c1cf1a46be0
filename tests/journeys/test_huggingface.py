"""Transformers are trained, served and shared out to tenants. Needs PyTorch, so it is run by hand.

    TENANTRY_LARGE=1 python -m pytest tests/journeys/test_huggingface.py
"""

import io
import json
import os
import tarfile

import pytest

import tenants
from conftest import REGION
from tenants import create_role, denial, refused, tenant_client

pytestmark = pytest.mark.skipif(
    os.environ.get("TENANTRY_LARGE") != "1",
    reason="the images of PyTorch bring its CUDA libraries, about 4 GB of packages on first use: set TENANTRY_LARGE=1 to run this",
)

HERE = tenants.ASSETS / "huggingface"
DJL = f"763104351884.dkr.ecr.{REGION}.amazonaws.com/djl-inference:0.21.0-deepspeed0.8.3-cu117"
QUESTION, ANSWER = "translate : two red", "zwei rot"


@pytest.fixture
def data(sdk, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    import words

    return sdk.upload_data(words.write(tmp_path), key_prefix="huggingface/train")


# The model that the first test trained, for those after it.
trained = {}


@pytest.fixture
def estimator(platform, sdk, data):
    """A trained T5; the training is done once."""
    from sagemaker.huggingface import HuggingFace

    if "job" in trained:
        return HuggingFace.attach(trained["job"], sagemaker_session=sdk)  # what another notebook of the user does
    made = HuggingFace(
        entry_point="train.py",
        source_dir=str(HERE / "train"),
        transformers_version="4.26.0",
        pytorch_version="1.13.1",
        py_version="py39",
        role=platform.role,
        instance_type="ml.p3.2xlarge",
        instance_count=1,
        hyperparameters={"epochs": 40},
        metric_definitions=[{"Name": "train_loss", "Regex": "train_loss=([0-9.]+)"}],
        output_path=f"s3://{platform.bucket}/huggingface/output",
        sagemaker_session=sdk,
    )
    made.fit({"train": data}, wait=True, logs="All")
    trained["job"] = made.latest_training_job.name
    return made


def test_a_t5_is_trained(platform, estimator, capsys):
    """The estimator of the SDK; the loss is a metric of the job."""
    job = platform.client("sagemaker").describe_training_job(TrainingJobName=trained["job"])
    assert job["TrainingJobStatus"] == "Completed" and "huggingface-pytorch-training:1.13.1" in job["AlgorithmSpecification"]["TrainingImage"]
    assert [(metric["MetricName"], metric["Value"] < 1.0) for metric in job["FinalMetricDataList"]] == [("train_loss", True)]
    assert {"config.json", "pytorch_model.bin", "tokenizer.json"} <= set(artifacts(platform, estimator).getnames())


def artifacts(platform, estimator):
    """The job's model.tar.gz, open."""
    bucket, key = estimator.model_data.removeprefix("s3://").split("/", 1)
    return tarfile.open(fileobj=io.BytesIO(platform.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()))


def test_it_is_served_as_a_pipeline(platform, sdk, estimator):
    """No code: HF_TASK says what the model is."""
    from sagemaker.huggingface import HuggingFaceModel

    model = HuggingFaceModel(
        model_data=estimator.model_data,
        role=platform.role,
        transformers_version="4.26.0",
        pytorch_version="1.13.1",
        py_version="py39",
        env={"HF_TASK": "text2text-generation"},
        sagemaker_session=sdk,
    )
    predictor = model.deploy(initial_instance_count=1, instance_type="ml.m5.xlarge", endpoint_name="t5-pipeline")
    assert predictor.predict({"inputs": QUESTION}) == [{"generated_text": ANSWER}]
    answers = predictor.predict({"inputs": [QUESTION, "translate : five green"], "parameters": {"max_length": 8}})
    assert [answer["generated_text"] for answer in answers] == [ANSWER, "fünf grün"]
    error = refused(sdk.sagemaker_runtime_client.invoke_endpoint, EndpointName="t5-pipeline", ContentType="application/json", Body=b"{}")
    assert error.response["Error"]["Code"] == "ModelError" and error.response["OriginalStatusCode"] == 400, error
    predictor.delete_model()
    predictor.delete_endpoint()


def test_it_is_served_by_a_module(platform, sdk, estimator):
    """The SDK packs inference.py with the model; its functions see text and answer as they like."""
    from sagemaker.huggingface import HuggingFaceModel

    model = HuggingFaceModel(
        model_data=estimator.model_data,
        role=platform.role,
        entry_point="inference.py",
        source_dir=str(HERE / "module"),
        transformers_version="4.26.0",
        pytorch_version="1.13.1",
        py_version="py39",
        sagemaker_session=sdk,
    )
    predictor = model.deploy(initial_instance_count=1, instance_type="ml.m5.xlarge", endpoint_name="t5-module")
    runtime = sdk.sagemaker_runtime_client
    answer = runtime.invoke_endpoint(EndpointName="t5-module", ContentType="text/plain", Body=f"{QUESTION}\ntranslate : one blue".encode())
    assert json.loads(answer["Body"].read()) == {"outputs": [ANSWER, "eins blau"]}
    predictor.delete_model()
    predictor.delete_endpoint()


def test_a_tenant_calls_only_its_own_endpoint(platform, estimator):
    """DJL Serving's Python engine with the model's files in S3, behind an endpoint that carries the tenant's tag."""
    sagemaker, s3 = platform.client("sagemaker"), platform.client("s3")
    with artifacts(platform, estimator) as model:
        for member in model.getmembers():
            if member.isfile():
                s3.put_object(Bucket=platform.bucket, Key=f"huggingface/t5/{member.name}", Body=model.extractfile(member).read())
    properties = f"engine=Python\noption.entryPoint=model.py\noption.s3url=s3://{platform.bucket}/huggingface/t5/\noption.tensor_parallel_degree=1\n"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in (("serving.properties", properties), ("model.py", (HERE / "serve" / "model.py").read_text())):
            member = tarfile.TarInfo(f"t5/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    s3.put_object(Bucket=platform.bucket, Key="huggingface/djl/t5.tar.gz", Body=packed.getvalue())

    container = {"Image": DJL, "ModelDataUrl": f"s3://{platform.bucket}/huggingface/djl/t5.tar.gz"}
    sagemaker.create_model(ModelName="t5-djl", ExecutionRoleArn=platform.role, PrimaryContainer=container)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "t5-djl",
        "InstanceType": "ml.g5.2xlarge",
        "InitialInstanceCount": 1,
        "ContainerStartupHealthCheckTimeoutInSeconds": 900,
    }
    sagemaker.create_endpoint_config(EndpointConfigName="t5-djl", ProductionVariants=[variant])
    tags = [{"Key": "TenantID", "Value": "tenant1"}]
    arn = sagemaker.create_endpoint(EndpointName="t5-djl", EndpointConfigName="t5-djl", Tags=tags)["EndpointArn"]
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="t5-djl", WaiterConfig={"Delay": 1, "MaxAttempts": 900})

    statement = {
        "Effect": "Allow",
        "Action": "sagemaker:InvokeEndpoint",
        "Resource": f"arn:aws:sagemaker:{REGION}:{platform.account}:endpoint/*",
        "Condition": {"StringEquals": {"aws:ResourceTag/TenantID": "${aws:PrincipalTag/TenantID}"}},
    }
    role = create_role(platform, "TenantInvokeTaggedRole", statement)
    request = {"EndpointName": "t5-djl", "ContentType": "application/json", "Body": json.dumps({"inputs": [QUESTION, "translate : four black"]})}
    own = tenant_client(platform, "sagemaker-runtime", role, "tenant1", read_timeout=120)
    assert json.loads(own.invoke_endpoint(**request)["Body"].read()) == {"outputs": [ANSWER, "vier schwarz"]}
    other = tenant_client(platform, "sagemaker-runtime", role, "tenant2")
    user = f"arn:aws:sts::{platform.account}:assumed-role/TenantInvokeTaggedRole/tenant2"
    assert str(refused(other.invoke_endpoint, **request)) == denial("InvokeEndpoint", user, "sagemaker:InvokeEndpoint", arn)
    # The tag decides, and it is read at every request.
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "TenantID", "Value": "tenant2"}])
    assert json.loads(other.invoke_endpoint(**request)["Body"].read())["outputs"][0] == ANSWER
    assert refused(own.invoke_endpoint, **request).response["Error"]["Code"] == "AccessDeniedException"
    sagemaker.delete_endpoint(EndpointName="t5-djl")
    sagemaker.delete_endpoint_config(EndpointConfigName="t5-djl")
    sagemaker.delete_model(ModelName="t5-djl")


def test_a_script_for_the_model_parallel_library_names_what_it_misses(platform, sdk, capsys):
    """Its instance types and hyperparameters are accepted, its requirements are there; smdistributed is not, and the job says so."""
    from sagemaker.exceptions import UnexpectedStatusException
    from sagemaker.pytorch import PyTorch

    options = {"microbatches": 4, "placement_strategy": "spread", "pipeline": "interleaved", "optimize": "speed", "partitions": 2, "ddp": True}
    estimator = PyTorch(
        entry_point="parallel.py",
        source_dir=str(HERE / "parallel"),
        framework_version="1.13.1",
        py_version="py39",
        role=platform.role,
        instance_type="ml.p4d.24xlarge",
        instance_count=2,
        distribution={
            "smdistributed": {"modelparallel": {"enabled": True, "parameters": options}},
            "mpi": {"enabled": True, "processes_per_host": 8, "custom_mpi_options": "--mca btl_vader_single_copy_mechanism none"},
        },
        hyperparameters={"epochs": 1},
        sagemaker_session=sdk,
    )
    with pytest.raises(UnexpectedStatusException):
        estimator.fit(wait=True, logs="All")
    job = platform.client("sagemaker").describe_training_job(TrainingJobName=estimator.latest_training_job.name)
    assert job["TrainingJobStatus"] == "Failed" and job["ResourceConfig"]["InstanceCount"] == 2
    assert job["HyperParameters"]["sagemaker_mpi_enabled"] == "true" and "mp_parameters" in job["HyperParameters"]
    assert "ModuleNotFoundError: No module named 'smdistributed'" in job["FailureReason"], job["FailureReason"]
    shown = capsys.readouterr().out
    assert "imported: 1.13.1" in shown and "AutoModelForSeq2SeqLM load_dataset 0.4.0" in shown
    assert "Requirement already satisfied: datasets" in shown and "Successfully installed" not in shown

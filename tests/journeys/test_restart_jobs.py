"""kill -9 while jobs and endpoints run: what was acknowledged is there afterwards, and what ran ends truthfully."""

import io
import json
import tarfile

import tenants
from conftest import Platform
from tenants import end_of, script_image, steps_of, why


def test_an_execution_survives_the_server(own_instance, wait):
    platform = Platform(own_instance)
    s3 = platform.client("s3")
    s3.create_bucket(Bucket=platform.bucket)
    s3.put_object(Bucket=platform.bucket, Key="code/behave.py", Body=(tenants.ASSETS / "behave.py").read_bytes())
    definition = tenants.processing_pipeline(
        script_image(), platform.role, name="First", arguments=["sleep", "5"], code=f"s3://{platform.bucket}/code/behave.py"
    )
    second = tenants.processing_pipeline(
        script_image(), platform.role, name="Second", arguments=["sleep", "0"], code=f"s3://{platform.bucket}/code/behave.py"
    )
    definition["Steps"].append(second["Steps"][0] | {"DependsOn": ["First"]})
    sagemaker = platform.client("sagemaker")
    sagemaker.create_pipeline(
        PipelineName="survivor", PipelineDefinition=json.dumps(definition), RoleArn=platform.role, ClientRequestToken="survivor".ljust(32, "x")
    )
    execution = sagemaker.start_pipeline_execution(PipelineName="survivor")["PipelineExecutionArn"]

    def running():
        job = steps_of(sagemaker, execution).get("First", {}).get("Metadata", {}).get("ProcessingJob")
        if job is None:
            return None
        return sagemaker.describe_processing_job(ProcessingJobName=job["Arn"].split("/")[-1])

    job = wait(running, lambda job: job and job.get("ProcessingStartTime"), 600)
    own_instance.kill()
    own_instance.restart()

    sagemaker = platform.client("sagemaker")
    described, steps = end_of(sagemaker, execution, 300)
    assert described["PipelineExecutionStatus"] in ("Succeeded", "Failed"), why(described, steps)
    if described["PipelineExecutionStatus"] == "Failed":
        assert steps["First"]["FailureReason"], why(described, steps)
    ended = sagemaker.describe_processing_job(ProcessingJobName=job["ProcessingJobName"])
    assert ended["ProcessingJobStatus"] == {"Succeeded": "Completed"}.get(steps["First"]["StepStatus"], "Failed")
    # The instance still takes work, and stops when told to.
    again = sagemaker.start_pipeline_execution(PipelineName="survivor")["PipelineExecutionArn"]
    described, steps = end_of(sagemaker, again, 300)
    assert described["PipelineExecutionStatus"] == "Succeeded", why(described, steps)
    assert own_instance.stop() == 0


HANDLER = b"""
def model_fn(directory):
    return directory

def transform_fn(model, body, content_type, accept):
    text = body if isinstance(body, str) else body.decode()
    return text.upper(), "text/plain"
"""


def test_an_endpoint_serves_again(own_instance, wait):
    platform = Platform(own_instance)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("code/inference.py")
        entry.size = len(HANDLER)
        archive.addfile(entry, io.BytesIO(HANDLER))
    s3, sagemaker = platform.client("s3"), platform.client("sagemaker")
    s3.create_bucket(Bucket=platform.bucket)
    s3.put_object(Bucket=platform.bucket, Key="model.tar.gz", Body=packed.getvalue())
    container = {
        "Image": script_image(),
        "ModelDataUrl": f"s3://{platform.bucket}/model.tar.gz",
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"},
    }
    sagemaker.create_model(ModelName="loud", ExecutionRoleArn=platform.role, PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": "loud", "InstanceType": "ml.t2.medium", "InitialInstanceCount": 1, "InitialVariantWeight": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="loud", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="loud", EndpointConfigName="loud")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="loud", WaiterConfig={"Delay": 1, "MaxAttempts": 600})

    def answer():
        runtime = platform.client("sagemaker-runtime", read_timeout=70)
        try:
            return runtime.invoke_endpoint(EndpointName="loud", ContentType="text/plain", Body=b"hello")["Body"].read()
        except runtime.exceptions.ClientError as error:
            return error

    assert answer() == b"HELLO"
    own_instance.kill()
    own_instance.restart()
    sagemaker = platform.client("sagemaker")
    assert sagemaker.describe_endpoint(EndpointName="loud")["EndpointStatus"] == "InService"
    assert wait(answer, lambda answer: answer == b"HELLO", 120)
    sagemaker.delete_endpoint(EndpointName="loud")
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="loud", WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    assert own_instance.stop() == 0

"""kill -9 in the middle of an execution: what was acknowledged is there afterwards, and what ran ends truthfully."""

import json

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

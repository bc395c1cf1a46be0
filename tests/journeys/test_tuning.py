"""Hyperparameter tuning: the SageMaker SDK's tuner, boto3, a pipeline's Tuning step, and checkpoints of training."""

import io
import json
import tarfile
import textwrap

import pytest

import tenants
from conftest import REGION, Platform
from tenants import end_of, refused, script_image, why

SCRIPT = """
import argparse, json, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("-x", "--x", type=float)
parser.add_argument("--depth", type=int, default=1)
parser.add_argument("--kind", default="plain")
parser.add_argument("--offset", type=float, default=0.0)
given = parser.parse_args()
loss = (given.x - 0.3) ** 2 + given.offset + (0.5 if given.kind == "bad" else 0.0)
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.json").write_text(json.dumps({"x": given.x, "loss": loss}))
print(f"loss={loss:.6f};")
"""
INFERENCE = """
import json, pathlib
def model_fn(directory):
    return json.loads(pathlib.Path(directory, "model.json").read_text())
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    return model
def output_fn(prediction, accept):
    return json.dumps(prediction)
"""
METRICS = [{"Name": "loss", "Regex": r"loss=([0-9.]+);"}]


@pytest.fixture
def source(tmp_path):
    """A directory with the script; serving imports the same file, so training is under a condition."""
    body = textwrap.indent(SCRIPT, "    ")
    (tmp_path / "train.py").write_text(f"{INFERENCE}\nif __name__ == '__main__':\n{body}")
    return tmp_path


def estimator(platform, sdk, source, **more):
    from sagemaker.sklearn import SKLearn

    return SKLearn(
        entry_point=str(source / "train.py"),
        framework_version="0.23-1",
        role=platform.role,
        instance_type="ml.m5.large",
        sagemaker_session=sdk,
        **more,
    )


def test_the_sdk_tunes_deploys_and_analyses(platform, sdk, source):
    """fit, best_training_job, analytics and deploy of an unmodified HyperparameterTuner."""
    from sagemaker.tuner import CategoricalParameter, ContinuousParameter, HyperparameterTuner, IntegerParameter

    tuner = HyperparameterTuner(
        estimator(platform, sdk, source, hyperparameters={"offset": 0.25}),
        objective_metric_name="loss",
        hyperparameter_ranges={
            "x": ContinuousParameter(0.0, 1.0),
            "depth": IntegerParameter(1, 4),
            "kind": CategoricalParameter(["plain", "bad"]),
        },
        metric_definitions=METRICS,
        objective_type="Minimize",
        strategy="Bayesian",
        max_jobs=6,
        max_parallel_jobs=2,
        random_seed=11,
        base_tuning_job_name="sdk",
        tags=[{"Key": "TenantID", "Value": "tenant1"}],
    )
    tuner.fit(wait=True)
    client = platform.client("sagemaker")
    found = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=tuner.latest_tuning_job.name)
    assert found["HyperParameterTuningJobStatus"] == "Completed", found
    assert found["TrainingJobStatusCounters"]["Completed"] == 6 and found["ObjectiveStatusCounters"]["Succeeded"] == 6
    table = tuner.analytics().dataframe()
    assert len(table) == 6 and table["FinalObjectiveValue"].min() >= 0.25
    best = table.sort_values("FinalObjectiveValue").iloc[0]
    assert tuner.best_training_job() == best["TrainingJobName"] == found["BestTrainingJob"]["TrainingJobName"]
    assert {"x", "depth", "kind"} <= set(table.columns) and table["depth"].between(1, 4).all()
    job = client.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert job["TuningJobArn"] == found["HyperParameterTuningJobArn"] and best["TrainingJobName"].startswith(f"{tuner.latest_tuning_job.name}-00")
    assert {"Key": "TenantID", "Value": "tenant1"} in client.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    assert job["FinalMetricDataList"][0]["MetricName"] == "loss"

    predictor = tuner.deploy(initial_instance_count=1, instance_type="ml.m5.large", endpoint_name="tuned")
    answer = platform.client("sagemaker-runtime").invoke_endpoint(EndpointName="tuned", Body=b"[]", ContentType="application/json")
    served = json.loads(answer["Body"].read())
    assert abs(served["loss"] - best["FinalObjectiveValue"]) < 1e-5, served
    predictor.delete_endpoint()


def test_built_in_algorithms_have_their_metrics(platform, sdk, tmp_path):
    """XGBoost's own metric is the objective: nobody writes a regular expression."""
    import houses
    from sagemaker import image_uris
    from sagemaker.estimator import Estimator
    from sagemaker.inputs import TrainingInput
    from sagemaker.tuner import ContinuousParameter, HyperparameterTuner

    houses.write(tmp_path)
    channels = {
        name: TrainingInput(sdk.upload_data(str(tmp_path / name / f"{name}.csv"), key_prefix=f"tuning/{name}"), content_type="text/csv")
        for name in ("train", "validation")
    }
    xgboost = Estimator(
        image_uri=image_uris.retrieve("xgboost", REGION, version="1.0-1"),
        role=platform.role,
        instance_count=1,
        instance_type="ml.m5.large",
        output_path=f"s3://{platform.bucket}/tuning/output",
        hyperparameters={"objective": "reg:squarederror", "num_round": 3},
        sagemaker_session=sdk,
    )
    tuner = HyperparameterTuner(
        xgboost, "validation:rmse", {"eta": ContinuousParameter(0.05, 0.9)}, objective_type="Minimize", strategy="Random", max_jobs=2
    )
    tuner.fit(channels, wait=True)
    listed = tuner.analytics().training_job_summaries()
    assert len(listed) == 2 and all(job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] > 0 for job in listed), listed


def request(platform, name, **config):
    """A tuning job written by hand, of the script in S3."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("train.py")
        content = SCRIPT.encode()
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    platform.client("s3").create_bucket(Bucket=platform.bucket)
    platform.client("s3").put_object(Bucket=platform.bucket, Key="tuning/sourcedir.tar.gz", Body=packed.getvalue())
    source = f"s3://{platform.bucket}/tuning/sourcedir.tar.gz"
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]},
        }
        | config,
        "TrainingJobDefinition": {
            "StaticHyperParameters": {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": json.dumps(source)},
            "AlgorithmSpecification": {"TrainingImage": script_image(), "TrainingInputMode": "File", "MetricDefinitions": METRICS},
            "RoleArn": platform.role,
            "OutputDataConfig": {"S3OutputPath": f"s3://{platform.bucket}/tuning/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        },
    }


def test_the_same_seed_tries_the_same(platform, wait):
    client = platform.client("sagemaker")
    seen = []
    for name in ("seed-a", "seed-b"):
        client.create_hyper_parameter_tuning_job(**request(platform, name, RandomSeed=5))
        done = wait(
            lambda name=name: client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name),
            lambda found: found["HyperParameterTuningJobStatus"] != "InProgress",
        )
        assert done["HyperParameterTuningJobStatus"] == "Completed", done
        listed = client.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)["TrainingJobSummaries"]
        seen.append([job["TunedHyperParameters"] for job in listed])
    assert seen[0] == seen[1] and len(seen[0]) == 2, seen
    listed = client.list_hyper_parameter_tuning_jobs(NameContains="seed")["HyperParameterTuningJobSummaries"]
    assert [job["HyperParameterTuningJobName"] for job in listed] == ["seed-a", "seed-b"]
    client.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="seed-a")
    error = refused(client.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName="seed-a")
    assert error.response["Error"]["Code"] == "ResourceNotFound"


def test_stop_ends_the_training_jobs(platform, wait):
    client = platform.client("sagemaker")
    wish = request(platform, "stopped")
    wish["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxNumberOfTrainingJobs"] = 100
    client.create_hyper_parameter_tuning_job(**wish)
    client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    found = wait(
        lambda: client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped"),
        lambda found: found["HyperParameterTuningJobStatus"] == "Stopped",
    )
    assert found["TrainingJobStatusCounters"]["InProgress"] == 0


def test_a_vpc_can_be_demanded(platform):
    """The preventive policy of training is one of tuning too, and names of what is not done are said."""
    iam = platform.instance.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{platform.account}:root"}, "Action": "sts:AssumeRole"}
    arn = iam.create_role(RoleName="fenced", AssumeRolePolicyDocument=tenants.policy(trust))["Role"]["Arn"]
    null = {"Null": {"sagemaker:VpcSubnets": "true", "sagemaker:VpcSecurityGroupIds": "true"}}
    allow = {"Effect": "Allow", "Action": ["sagemaker:*", "iam:PassRole"], "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "sagemaker:CreateHyperParameterTuningJob", "Resource": "*", "Condition": null}
    iam.put_role_policy(RoleName="fenced", PolicyName="fence", PolicyDocument=tenants.policy(allow, deny))
    session = platform.instance.client("sts").assume_role(RoleArn=arn, RoleSessionName="SageMaker")["Credentials"]
    client = platform.instance.client("sagemaker", session)
    wish = request(platform, "fenced")
    error = refused(client.create_hyper_parameter_tuning_job, **wish)
    assert "sagemaker:CreateHyperParameterTuningJob on resource" in str(error) and "explicit deny" in str(error)
    wish["TrainingJobDefinition"]["VpcConfig"] = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    client.create_hyper_parameter_tuning_job(**wish)
    # Who may not is told no more than that; who may learns what is not done.
    client = platform.client("sagemaker")
    error = refused(client.create_hyper_parameter_tuning_job, **request(platform, "band", Strategy="Hyperband"))
    assert "Hyperband is not available" in str(error)


def test_a_pipeline_tunes_and_takes_the_best(platform, sdk, source):
    """TuningStep: get_top_model_s3_uri and the best job's name go on to the next step."""
    from sagemaker.processing import ProcessingInput, ProcessingOutput, ScriptProcessor
    from sagemaker.tuner import ContinuousParameter, HyperparameterTuner
    from sagemaker.workflow.pipeline import Pipeline
    from sagemaker.workflow.pipeline_context import PipelineSession
    from sagemaker.workflow.steps import ProcessingStep, TuningStep

    session = PipelineSession(boto_session=sdk.boto_session, default_bucket=platform.bucket)
    tuner = HyperparameterTuner(
        estimator(platform, session, source, output_path=f"s3://{platform.bucket}/piped"),
        "loss",
        {"x": ContinuousParameter(0.0, 1.0)},
        metric_definitions=METRICS,
        objective_type="Minimize",
        strategy="Random",
        max_jobs=3,
        max_parallel_jobs=3,
    )
    tune = TuningStep(name="Tune", step_args=tuner.fit())
    look = source / "look.py"
    look.write_text(
        "import pathlib, sys, tarfile\n"
        "tarfile.open('/opt/ml/processing/model/model.tar.gz').extract('model.json', '/opt/ml/processing/out')\n"
        "pathlib.Path('/opt/ml/processing/out/name').write_text(sys.argv[1])\n"
    )
    processor = ScriptProcessor(
        image_uri=script_image(), command=["python3"], role=platform.role, instance_type="ml.m5.large", instance_count=1, sagemaker_session=session
    )
    arguments = processor.run(
        code=str(look),
        inputs=[
            ProcessingInput(
                source=tune.get_top_model_s3_uri(top_k=0, s3_bucket=platform.bucket, prefix="piped"), destination="/opt/ml/processing/model"
            )
        ],
        outputs=[ProcessingOutput(output_name="out", source="/opt/ml/processing/out", destination=f"s3://{platform.bucket}/looked")],
        arguments=[tune.properties.BestTrainingJob.TrainingJobName],
    )
    pipeline = Pipeline(name="Tuned", steps=[tune, ProcessingStep(name="Look", step_args=arguments)], sagemaker_session=session)
    pipeline.upsert(role_arn=platform.role)
    execution = pipeline.start()
    client = platform.client("sagemaker")
    described, steps = end_of(client, execution.arn)
    assert described["PipelineExecutionStatus"] == "Succeeded", why(described, steps)
    name = steps["Tune"]["Metadata"]["TuningJob"]["Arn"].split("/")[-1]
    found = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    best = found["BestTrainingJob"]
    s3 = platform.client("s3")
    assert s3.get_object(Bucket=platform.bucket, Key="looked/name")["Body"].read().decode() == best["TrainingJobName"]
    model = json.loads(s3.get_object(Bucket=platform.bucket, Key="looked/model.json")["Body"].read())
    assert abs(model["loss"] - best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]) < 1e-5


CHECKPOINTING = """
import pathlib, time
place = pathlib.Path('/opt/ml/checkpoints')
had = sorted(path.name for path in place.iterdir())
print('found:', had)
(place / f'round-{len(had)}').write_text('state')
if not had:
    time.sleep(600)
"""


def test_checkpoints_are_kept_while_training_runs_and_found_again(own_instance, wait):
    """A checkpoint is an object before the job ends; after a kill -9 the job begins again with it. A search goes on too."""
    platform = Platform(own_instance)
    s3, client = platform.client("s3"), platform.client("sagemaker")
    wish = request(platform, "survivor")
    client.create_hyper_parameter_tuning_job(**wish)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("train.py")
        entry.size = len(CHECKPOINTING)
        archive.addfile(entry, io.BytesIO(CHECKPOINTING.encode()))
    s3.put_object(Bucket=platform.bucket, Key="checkpointing.tar.gz", Body=packed.getvalue())
    definition = dict(wish["TrainingJobDefinition"])
    parameters = {"sagemaker_program": '"train.py"', "sagemaker_submit_directory": json.dumps(f"s3://{platform.bucket}/checkpointing.tar.gz")}
    definition.pop("StaticHyperParameters")
    client.create_training_job(
        TrainingJobName="keeper",
        HyperParameters=parameters,
        CheckpointConfig={"S3Uri": f"s3://{platform.bucket}/kept"},
        EnableManagedSpotTraining=True,
        RetryStrategy={"MaximumRetryAttempts": 3},
        **(definition | {"StoppingCondition": {"MaxRuntimeInSeconds": 900, "MaxWaitTimeInSeconds": 900}}),
    )

    def kept():
        return [entry["Key"] for entry in s3.list_objects_v2(Bucket=platform.bucket, Prefix="kept/").get("Contents", [])]

    wait(kept, lambda keys: keys == ["kept/round-0"])
    assert client.describe_training_job(TrainingJobName="keeper")["TrainingJobStatus"] == "InProgress"
    client.update_training_job(TrainingJobName="keeper", ProfilerConfig={"DisableProfiler": True})
    own_instance.kill()
    own_instance.restart()
    client = platform.client("sagemaker")
    s3 = platform.client("s3")
    job = wait(lambda: client.describe_training_job(TrainingJobName="keeper"), lambda job: job["TrainingJobStatus"] != "InProgress")
    assert job["TrainingJobStatus"] == "Completed", job
    assert kept() == ["kept/round-0", "kept/round-1"]
    assert job["EnableManagedSpotTraining"] and 1 <= job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"]
    assert job["ProfilerConfig"]["DisableProfiler"]
    found = wait(
        lambda: client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="survivor"),
        lambda found: found["HyperParameterTuningJobStatus"] != "InProgress",
    )
    assert found["HyperParameterTuningJobStatus"] == "Completed" and found["TrainingJobStatusCounters"]["Completed"] == 2, found
    listed = client.list_training_jobs(NameContains="survivor-0")["TrainingJobSummaries"]
    assert len(listed) == 2, listed
    client.delete_training_job(TrainingJobName="keeper")
    assert "not found" in str(refused(client.describe_training_job, TrainingJobName="keeper"))

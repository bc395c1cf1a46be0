"""The SageMaker SDK outside pipelines: estimators, processors, endpoints and their logs."""

import json

import numpy
import pytest

import tenants
from conftest import REGION
from tenants import refused, script_image


@pytest.fixture
def data(sdk, tmp_path):
    import houses

    houses.write(tmp_path)
    return {
        name: sdk.upload_data(str(tmp_path / name / f"{name}.csv"), key_prefix=f"sdk/{name}") for name in ("train", "validation", "test")
    }


def test_default_bucket(platform, sdk):
    assert sdk.default_bucket() == platform.bucket
    # Another session of the same account finds it and does not mind.
    import boto3
    import sagemaker

    assert sagemaker.Session(boto3.Session(region_name=REGION)).default_bucket() == platform.bucket
    assert sagemaker.get_execution_role(sdk) == platform.role


def test_an_estimator_trains_and_is_deployed(platform, sdk, data, capsys):
    """fit shows the job's log as it comes; deploy answers CSV with CSV."""
    from sagemaker import image_uris
    from sagemaker.estimator import Estimator
    from sagemaker.inputs import TrainingInput
    from sagemaker.serializers import CSVSerializer

    estimator = Estimator(
        image_uri=image_uris.retrieve("xgboost", REGION, version="1.0-1"),
        role=platform.role,
        instance_count=1,
        instance_type="ml.m5.large",
        output_path=f"s3://{platform.bucket}/sdk/output",
        hyperparameters={"objective": "reg:squarederror", "num_round": 5, "max_depth": 3},
        sagemaker_session=sdk,
    )
    channels = {name: TrainingInput(data[name], content_type="text/csv") for name in ("train", "validation")}
    estimator.fit(channels, wait=True, logs="All")
    shown = capsys.readouterr().out
    assert "[0]#011train-rmse:" in shown and "[4]#011train-rmse:" in shown and "validation-rmse:" in shown
    assert "Training job completed" in shown and "Billable seconds:" in shown
    job = estimator.latest_training_job.name
    assert estimator.model_data == f"s3://{platform.bucket}/sdk/output/{job}/output/model.tar.gz"

    name = "sdk-houses"
    predictor = estimator.deploy(initial_instance_count=1, instance_type="ml.m5.large", endpoint_name=name, serializer=CSVSerializer())
    rows = numpy.array([[1997, 2527, 6, 2.5, 0.57, 1], [2010, 1500, 2, 1.0, 0.5, 0]])
    answer = predictor.predict(rows).decode()
    values = [float(value) for value in answer.replace("\n", ",").split(",") if value]
    assert len(values) == 2 and values[0] > values[1] > 50_000, answer
    assert platform.client("sagemaker").describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"
    predictor.delete_model()
    predictor.delete_endpoint()
    error = refused(platform.client("sagemaker-runtime").invoke_endpoint, EndpointName=name, Body=b"1", ContentType="text/csv")
    assert error.response["Error"]["Code"] == "ValidationError" and f"Endpoint {name} of account {platform.account} not found." in str(error)


def test_a_script_trains_as_a_framework_estimator(platform, sdk, data, capsys, tmp_path):
    """Script mode: the sources travel as sourcedir.tar.gz, hyperparameters become arguments, checkpoints become objects."""
    from sagemaker.sklearn import SKLearn

    script = tmp_path / "train.py"
    script.write_text(
        "import argparse, os, pathlib\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--alpha', type=float)\n"
        "given = parser.parse_args()\n"
        "rows = (pathlib.Path(os.environ['SM_CHANNEL_TRAIN']) / 'train.csv').read_text().splitlines()\n"
        "print('rows:', len(rows), 'alpha:', given.alpha, 'host:', os.environ['SM_CURRENT_HOST'])\n"
        "(pathlib.Path(os.environ['SM_MODEL_DIR']) / 'model.txt').write_text(str(given.alpha))\n"
        "pathlib.Path('/opt/ml/checkpoints/round.1').write_text('half way')\n"
    )
    estimator = SKLearn(
        entry_point=str(script),
        framework_version="0.23-1",
        role=platform.role,
        instance_type="ml.m5.large",
        hyperparameters={"alpha": 0.25},
        checkpoint_s3_uri=f"s3://{platform.bucket}/sdk/checkpoints",
        sagemaker_session=sdk,
    )
    estimator.fit({"train": data["train"]}, wait=True, logs="All")
    assert "rows: 300 alpha: 0.25 host: algo-1" in capsys.readouterr().out
    bucket, key = estimator.model_data.removeprefix("s3://").split("/", 1)
    assert platform.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"] > 0
    assert platform.client("s3").get_object(Bucket=bucket, Key="sdk/checkpoints/round.1")["Body"].read() == b"half way"


def test_processors_run_scripts(platform, sdk, data, capsys, tmp_path):
    from sagemaker.processing import ProcessingInput, ProcessingOutput, ScriptProcessor
    from sagemaker.sklearn.processing import SKLearnProcessor

    script = tmp_path / "split.py"
    script.write_text(
        "import pathlib, sys, sklearn.model_selection\n"
        "root = pathlib.Path('/opt/ml/processing')\n"
        "rows = (root / 'input/data/train.csv').read_text().splitlines()\n"
        "left, right = sklearn.model_selection.train_test_split(rows, test_size=float(sys.argv[2]), random_state=1)\n"
        "(root / 'left/left.csv').write_text('\\n'.join(left))\n"
        "print('split', len(left), len(right))\n"
    )
    place = f"s3://{platform.bucket}/sdk/split"
    given = {
        "code": str(script),
        "arguments": ["--share", "0.25"],
        "inputs": [ProcessingInput(source=data["train"], destination="/opt/ml/processing/input/data")],
        "outputs": [ProcessingOutput(output_name="left", source="/opt/ml/processing/left", destination=place)],
    }
    common = {"role": platform.role, "instance_type": "ml.m5.large", "instance_count": 1, "sagemaker_session": sdk}
    SKLearnProcessor(framework_version="0.23-1", **common).run(**given, wait=True, logs=True)
    assert "split 225 75" in capsys.readouterr().out
    body = platform.client("s3").get_object(Bucket=platform.bucket, Key="sdk/split/left.csv")["Body"].read()
    assert len(body.splitlines()) == 225

    processor = ScriptProcessor(image_uri=script_image(), command=["python3"], **common)
    processor.run(**given, wait=False)
    assert processor.latest_job.describe()["ProcessingJobStatus"] == "InProgress"
    processor.latest_job.wait(logs=False)
    described = platform.instance.cli(
        "sagemaker", "describe-processing-job", "--processing-job-name", processor.latest_job.job_name, credentials=platform.credentials
    )
    assert json.loads(described.stdout)["ProcessingJobStatus"] == "Completed"


def test_a_script_that_raises_fails_the_job(platform, sdk, capsys):
    from sagemaker.exceptions import UnexpectedStatusException
    from sagemaker.processing import ScriptProcessor

    processor = ScriptProcessor(
        image_uri=script_image(), command=["python3"], role=platform.role, instance_type="ml.t3.medium", instance_count=1, sagemaker_session=sdk
    )
    with pytest.raises(UnexpectedStatusException) as failed:
        processor.run(code=str(tenants.ASSETS / "behave.py"), arguments=["crash"], wait=True, logs=True)
    assert failed.value.actual_status == "Failed" and "exit code: 1" in str(failed.value)
    assert "ValueError: the script meant to fail" in capsys.readouterr().out

"""Training and processing jobs: real scripts in real sandboxes, driven by boto3."""

import io
import json
import subprocess
import sys
import tarfile
import textwrap
import time
import uuid

import botocore.exceptions
import pytest

BASE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-base-python:1.0"
OLD_XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.0-1-cpu-py3"
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
OVER = ("Completed", "Failed", "Stopped")


class Lab:
    """A bucket, a role that may use it, and ways to run jobs as that role."""

    def __init__(self, instance, wait):
        self.instance, self.wait = instance, wait
        self.id = uuid.uuid4().hex[:8]
        self.bucket = f"jobs-{self.id}"
        self.s3 = instance.client("s3")
        self.sagemaker = instance.client("sagemaker")
        self.logs = instance.client("logs")
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.create_bucket(Bucket=f"{self.bucket}-closed")
        self.role = self.make_role(f"jobs-{self.id}")

    def make_role(self, name):
        iam = self.instance.client("iam")
        trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
        allow = {"Effect": "Allow", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{self.bucket}", f"arn:aws:s3:::{self.bucket}/*"]}
        iam.put_role_policy(RoleName=name, PolicyName="data", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
        return made["Role"]["Arn"]

    def put(self, key, content):
        content = content if isinstance(content, bytes) else textwrap.dedent(content).encode()
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        return f"s3://{self.bucket}/{key}"

    def get(self, key):
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def name(self, what):
        return f"{what}-{self.id}-{uuid.uuid4().hex[:4]}"

    def process(self, script, inputs=(), outputs=(), seconds=600, **more):
        """Starts a processing job that runs `script`; returns its name."""
        name = self.name("processing")
        code = self.put(f"code/{name}/script.py", script)
        given = [("code", code, "input/code"), *inputs]
        request = {
            "ProcessingJobName": name,
            "RoleArn": self.role,
            "AppSpecification": {"ImageUri": BASE, "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/script.py"]},
            "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.t3.medium", "VolumeSizeInGB": 5}},
            "StoppingCondition": {"MaxRuntimeInSeconds": seconds},
            "ProcessingInputs": [
                {
                    "InputName": label,
                    "S3Input": {
                        "S3Uri": uri,
                        "LocalPath": f"/opt/ml/processing/{path}",
                        "S3DataType": "S3Prefix",
                        "S3InputMode": "File",
                    },
                }
                for label, uri, path in given
            ],
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": label,
                        "S3Output": {
                            "S3Uri": f"s3://{self.bucket}/out/{name}/{label}",
                            "LocalPath": f"/opt/ml/processing/{path}",
                            "S3UploadMode": mode,
                        },
                    }
                    for label, path, mode in outputs
                ]
            },
        } | more
        self.sagemaker.create_processing_job(**request)
        return name

    def train(self, data, count=1, seconds=600, image=XGBOOST, **more):
        name = self.name("training")
        request = {
            "TrainingJobName": name,
            "RoleArn": self.role,
            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
            "HyperParameters": {"objective": "reg:squarederror", "num_round": "5", "max_depth": "3"},
            "InputDataConfig": [
                {
                    "ChannelName": channel,
                    "ContentType": "text/csv",
                    "DataSource": {
                        "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": distribution}
                    },
                }
                for channel, uri, distribution in data
            ],
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/models/"},
            "ResourceConfig": {"InstanceCount": count, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": seconds},
        } | more
        self.sagemaker.create_training_job(**request)
        return name

    def processed(self, name, seconds=600):
        """Waits for the end."""
        describe = lambda: self.sagemaker.describe_processing_job(ProcessingJobName=name)
        return self.wait(describe, lambda job: job["ProcessingJobStatus"] in OVER, seconds)

    def trained(self, name, seconds=600):
        """Waits for the end."""
        describe = lambda: self.sagemaker.describe_training_job(TrainingJobName=name)
        return self.wait(describe, lambda job: job["TrainingJobStatus"] in OVER, seconds)

    def log(self, kind, name):
        group = f"/aws/sagemaker/{kind}Jobs"
        streams = self.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/", orderBy="LogStreamName")["logStreams"]
        lines = []
        for stream in streams:
            answer = self.logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
            lines += [event["message"] for event in answer["events"]]
        return lines

    def until_logged(self, kind, name, text):
        def lines():
            try:
                return self.log(kind, name)
            except self.logs.exceptions.ResourceNotFoundException:
                return []

        return self.wait(lines, lambda lines: any(text in line for line in lines))


@pytest.fixture(scope="module")
def lab(instance):
    def wait(probe, until, seconds=300, every=0.3):
        end = time.monotonic() + seconds
        while True:
            answer = probe()
            if until(answer):
                return answer
            if time.monotonic() > end:
                raise AssertionError(f"not reached within {seconds} s: {answer}")
            time.sleep(every)

    return Lab(instance, wait)


def rows(count=200):
    """A label that is twice the first feature."""
    return "".join(f"{2 * (i % 17)},{i % 17},{i % 5}\n" for i in range(count))


def test_a_script_processes_data_and_calls_aws(lab):
    data = lab.put("data/in/numbers.csv", "1\n2\n3\n")
    script = """
        import json, os, sys
        import boto3, pandas
        total = int(pandas.read_csv("/opt/ml/processing/in/numbers.csv", header=None)[0].sum())
        os.makedirs("/opt/ml/processing/out/deep")
        json.dump({"total": total}, open("/opt/ml/processing/out/deep/result.json", "w"))
        who = boto3.client("sts").get_caller_identity()["Arn"]
        wired = boto3.client("sts", endpoint_url="https://sts.us-east-1.amazonaws.com").get_caller_identity()["Arn"]
        assert who == wired, wired
        assert os.getuid() != 0 and not os.path.exists("/root/.ssh")
        config = json.load(open("/opt/ml/config/resourceconfig.json"))
        print("I am", who, config["current_host"], os.environ["MODE"])
        open("/opt/ml/output/message", "w").write("summed")
        boto3.client("s3").upload_file("/opt/ml/processing/out/deep/result.json", os.environ["BUCKET"], "by-the-script.json")
    """
    name = lab.process(
        script, [("in", data, "in")], [("result", "out", "EndOfJob")], Environment={"MODE": "test", "BUCKET": lab.bucket}
    )
    job = lab.processed(name)
    assert job["ProcessingJobStatus"] == "Completed", (job, lab.log("Processing", name))
    assert job["ExitMessage"] == "summed"
    assert json.loads(lab.get(f"out/{name}/result/deep/result.json")) == {"total": 6}
    assert json.loads(lab.get("by-the-script.json")) == {"total": 6}
    role = lab.role.split("/")[-1]
    said = f"I am arn:aws:sts::{lab.instance.account}:assumed-role/{role}/SageMaker algo-1 test"
    assert said in lab.log("Processing", name)
    assert job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3UploadMode"] == "EndOfJob"
    assert name in [j["ProcessingJobName"] for j in lab.sagemaker.list_processing_jobs(NameContains=name)["ProcessingJobSummaries"]]


def test_continuous_outputs_arrive_while_the_job_runs(lab):
    script = """
        import time
        open("/opt/ml/processing/out/first", "w").write("1")
        while True:
            time.sleep(1)
    """
    name = lab.process(script, outputs=[("live", "out", "Continuous")])
    listed = lambda: lab.s3.list_objects_v2(Bucket=lab.bucket, Prefix=f"out/{name}/").get("Contents", [])
    lab.wait(listed, lambda found: [o["Key"] for o in found] == [f"out/{name}/live/first"])
    assert lab.sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "InProgress"
    lab.sagemaker.stop_processing_job(ProcessingJobName=name)
    assert lab.processed(name)["ProcessingJobStatus"] == "Stopped"


def test_xgboost_trains_on_one_instance(lab):
    train = lab.put("data/one/train/train.csv", rows())
    validation = lab.put("data/one/validation/validation.csv", rows(50))
    name = lab.train([("train", train, "FullyReplicated"), ("validation", validation, "FullyReplicated")])
    job = lab.trained(name)
    assert job["TrainingJobStatus"] == "Completed", (job, lab.log("Training", name))
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{lab.bucket}/models/{name}/output/model.tar.gz"
    model = tarfile.open(fileobj=io.BytesIO(lab.get(f"models/{name}/output/model.tar.gz")))
    assert model.getnames() == ["xgboost-model"]
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert metrics["validation:rmse"] < 10 and "train:rmse" in metrics
    transitions = [t["Status"] for t in job["SecondaryStatusTransitions"]]
    assert transitions == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["BillableTimeInSeconds"] >= 1
    assert any("train-rmse" in line for line in lab.log("Training", name))


def test_xgboost_trains_on_two_instances(lab):
    for part in range(2):
        lab.put(f"data/two/train/part-{part}.csv", rows())
    name = lab.train([("train", f"s3://{lab.bucket}/data/two/train", "ShardedByS3Key")], count=2, image=OLD_XGBOOST)
    job = lab.trained(name)
    assert job["TrainingJobStatus"] == "Completed", (job, lab.log("Training", name))
    model = tarfile.open(fileobj=io.BytesIO(lab.get(f"models/{name}/output/model.tar.gz")))
    assert model.getnames() == ["xgboost-model"]
    streams = lab.logs.describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{name}/")["logStreams"]
    assert [stream["logStreamName"].split("/")[1][:6] for stream in streams] == ["algo-1", "algo-2"]


def test_script_mode_trains(lab):
    script = textwrap.dedent("""
        import argparse, os
        parser = argparse.ArgumentParser()
        parser.add_argument("--depth", type=int)
        given = parser.parse_args()
        rows = open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "a.csv")).read().count("\\n")
        open(os.path.join(os.environ["SM_MODEL_DIR"], "model.txt"), "w").write(f"{given.depth} {rows}")
        print(f"loss={0.25};")
    """).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("train.py")
        member.size = len(script)
        archive.addfile(member, io.BytesIO(script))
    source = lab.put("source/sourcedir.tar.gz", packed.getvalue())
    train = lab.put("data/script/a.csv", "1\n2\n")
    name = lab.train(
        [("train", train, "FullyReplicated")],
        HyperParameters={
            "sagemaker_program": '"train.py"',
            "sagemaker_submit_directory": json.dumps(source),
            "sagemaker_region": '"us-east-1"',
            "depth": "7",
        },
        AlgorithmSpecification={
            "TrainingImage": BASE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+);"}],
        },
    )
    job = lab.trained(name)
    assert job["TrainingJobStatus"] == "Completed", (job, lab.log("Training", name))
    model = tarfile.open(fileobj=io.BytesIO(lab.get(f"models/{name}/output/model.tar.gz")))
    assert model.extractfile("model.txt").read() == b"7 2"
    assert [(m["MetricName"], m["Value"]) for m in job["FinalMetricDataList"]] == [("loss", 0.25)]


def test_a_crash_has_a_reason(lab):
    name = lab.process('raise ValueError("no such column")')
    job = lab.processed(name)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information, exit code: 1"
    assert "ValueError: no such column" in lab.log("Processing", name)

    train = lab.put("data/bad/train.csv", "this,is,not,numbers\n")
    job = lab.trained(lab.train([("train", train, "FullyReplicated")]))
    assert job["TrainingJobStatus"] == "Failed" and job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ") and job["FailureReason"].endswith(", exit code: 1")


def test_too_little_memory_is_said(lab):
    script = """
        held = []
        while True:
            held.append(bytearray(64 << 20))
            held[-1][::4096] = b"x" * len(held[-1][::4096])
    """
    job = lab.processed(lab.process(script))
    assert job["ProcessingJobStatus"] == "Failed"
    assert "OutOfMemory: Please use an instance type with more memory" in job["FailureReason"]


def test_the_runtime_is_limited(lab):
    name = lab.process("import time\nwhile True: time.sleep(1)", seconds=3)
    job = lab.processed(name)
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "MaxRuntimeInSeconds" in job["ExitMessage"]


def test_missing_data_is_said(lab):
    job = lab.trained(lab.train([("train", f"s3://{lab.bucket}/nowhere/", "FullyReplicated")]))
    assert job["TrainingJobStatus"] == "Failed"
    assert f'No S3 objects found under S3 URL "s3://{lab.bucket}/nowhere/"' in job["FailureReason"]


def test_a_role_reaches_only_its_data(lab):
    closed = f"{lab.bucket}-closed"
    lab.s3.put_object(Bucket=closed, Key="secret.csv", Body=b"1,2\n")
    job = lab.trained(lab.train([("train", f"s3://{closed}/secret.csv", "FullyReplicated")]))
    assert job["TrainingJobStatus"] == "Failed"
    assert "AccessDenied" in job["FailureReason"] and "s3:ListBucket" in job["FailureReason"]

    script = f"""
        import boto3
        try:
            boto3.client("s3").get_object(Bucket="{closed}", Key="secret.csv")
        except Exception as error:
            print("refused:", error)
    """
    name = lab.process(script)
    assert lab.processed(name)["ProcessingJobStatus"] == "Completed"
    assert any(line.startswith("refused:") and "AccessDenied" in line for line in lab.log("Processing", name))


def test_network_isolation_leaves_no_way_out(lab):
    script = """
        import os, socket
        assert not any("PROXY" in name or "CREDENTIALS" in name for name in os.environ)
        for address in [("127.0.0.1", 4600), ("169.254.170.2", 80), ("1.1.1.1", 443)]:
            try:
                socket.create_connection(address, 3)
                print("reached", address)
            except OSError:
                pass
        print("done")
    """
    name = lab.process(script, NetworkConfig={"EnableNetworkIsolation": True})
    job = lab.processed(name)
    assert job["ProcessingJobStatus"] == "Completed", (job, lab.log("Processing", name))
    assert lab.log("Processing", name) == ["done"]


def test_refused_at_once(lab):
    train = [("train", f"s3://{lab.bucket}/data/one/train", "FullyReplicated")]
    for change, text in [
        ({"image": "example.com/nobody/knows:1"}, "example.com/nobody/knows:1"),
        ({"RoleArn": f"arn:aws:iam::{lab.instance.account}:role/nobody"}, "Could not assume role"),
        ({"VpcConfig": {"Subnets": ["net-1"], "SecurityGroupIds": ["sg-1"]}}, "net-1 in VpcConfig.Subnets is not a valid id"),
    ]:
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            lab.train(train, **change)
        assert refused.value.response["Error"]["Code"] == "ValidationException"
        assert text in str(refused.value)


def test_names_are_taken_once(lab):
    name = lab.process("pass")
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        lab.process("pass", **{"ProcessingJobName": name})
    assert refused.value.response["Error"]["Code"] == "ResourceInUse"
    assert "Job name must be unique within an AWS account and region" in str(refused.value)
    with pytest.raises(botocore.exceptions.ClientError, match="Requested resource not found."):
        lab.sagemaker.describe_training_job(TrainingJobName="nothing")
    with pytest.raises(botocore.exceptions.ClientError, match="Could not find requested job with name: nothing"):
        lab.sagemaker.describe_processing_job(ProcessingJobName="nothing")
    lab.processed(name)


def test_stop(lab):
    script = """
        import signal, sys, time
        def end(*_):
            open("/opt/ml/model/half", "w").write("half")
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("waiting", flush=True)
        while True:
            time.sleep(1)
    """
    code = lab.put("code/stop/run.py", script)
    specification = {
        "TrainingImage": BASE,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python3", "/opt/ml/input/data/code/run.py"],
    }
    name = lab.train([("code", code, "FullyReplicated")], AlgorithmSpecification=specification)
    lab.until_logged("Training", name, "waiting")
    lab.sagemaker.stop_training_job(TrainingJobName=name)
    job = lab.trained(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    model = tarfile.open(fileobj=io.BytesIO(lab.get(f"models/{name}/output/model.tar.gz")))
    assert model.getnames() == ["half"]


def test_a_restart_begins_jobs_again(own_instance, wait):
    lab = Lab(own_instance, wait)
    script = """
        import os, time, boto3
        s3 = boto3.client("s3")
        if "Contents" in s3.list_objects_v2(Bucket=os.environ["BUCKET"], Prefix="seen"):
            print("second time")
        else:
            s3.put_object(Bucket=os.environ["BUCKET"], Key="seen", Body=b"x")
            print("first time", flush=True)
            time.sleep(600)
    """
    name = lab.process(script, Environment={"BUCKET": lab.bucket})
    lab.until_logged("Processing", name, "first time")
    own_instance.kill()
    own_instance.restart()
    lab.s3, lab.sagemaker, lab.logs = (own_instance.client(service) for service in ("s3", "sagemaker", "logs"))
    job = lab.processed(name)
    assert job["ProcessingJobStatus"] == "Completed", (job, lab.log("Processing", name))
    lines = lab.log("Processing", name)
    assert "second time" in lines and any("begins again (attempt 2 of 3)" in line for line in lines)


def test_traps_lead_nowhere(lab):
    script = """
        import os, shutil
        os.symlink("/etc/passwd", "/opt/ml/processing/out/passwd")
        os.symlink("/etc", "/opt/ml/processing/out/etc")
        for path in ["/opt/ml/processing/out", "/opt/ml/processing"]:
            try:
                shutil.rmtree(path)
            except OSError:
                pass
            try:
                os.symlink("/etc", path)
                print("replaced", path)
            except OSError:
                print("kept", path)
        os.mkdir("/opt/ml/processing/out/real")
        os.mkfifo("/opt/ml/processing/out/real/fifo")
        open("/opt/ml/processing/out/real/file", "w").write("real")
        os.rename("/opt/ml/output", "/opt/ml/moved")
        os.symlink("/etc", "/opt/ml/output")
    """
    name = lab.process(script, outputs=[("out", "out", "EndOfJob")])
    job = lab.processed(name)
    assert job["ProcessingJobStatus"] == "Completed", (job, lab.log("Processing", name))
    assert "kept /opt/ml/processing/out" in lab.log("Processing", name)
    found = lab.s3.list_objects_v2(Bucket=lab.bucket, Prefix=f"out/{name}/")["Contents"]
    assert [o["Key"] for o in found] == [f"out/{name}/out/real/file"]
    assert "ExitMessage" not in job


SDK = """
import sys
import sagemaker
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.processing import ProcessingInput, ProcessingOutput, ScriptProcessor

image, base, role, bucket, script = sys.argv[1:]
session = sagemaker.Session(default_bucket=bucket)
processor = ScriptProcessor(image_uri=base, command=["python3"], role=role, instance_count=1, instance_type="ml.t3.medium",
                            sagemaker_session=session)
processor.run(code=script, outputs=[ProcessingOutput(source="/opt/ml/processing/train", output_name="train")], logs=True)
data = processor.latest_job.outputs[0].destination
estimator = Estimator(image, role, instance_count=1, instance_type="ml.m5.xlarge", output_path=f"s3://{bucket}/sdk",
                      sagemaker_session=session, hyperparameters={"num_round": 3, "objective": "reg:squarederror"})
estimator.fit({"train": TrainingInput(data, content_type="text/csv")}, logs="All")
print("model", estimator.model_data)
print("metrics", sorted(estimator.training_job_analytics._metric_names) if estimator.latest_training_job else None)
"""


def test_the_sagemaker_sdk_runs_jobs_and_follows_their_logs(lab, tmp_path):
    script = tmp_path / "make.py"
    script.write_text(f'print("making rows")\nopen("/opt/ml/processing/train/train.csv", "w").write({rows()!r})\n')
    words = [OLD_XGBOOST, BASE, lab.role, lab.bucket, str(script)]
    done = subprocess.run([sys.executable, "-c", SDK, *words], env=lab.instance.environment(), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "making rows" in done.stdout and "#011train-rmse" in done.stdout.replace("\t", "#011"), done.stdout
    assert f"model s3://{lab.bucket}/sdk/" in done.stdout

"""Models behind endpoints: they answer, they are updated without a gap, they come back, and tenants reach only their own."""

import io
import json
import tarfile
import threading
import time

import botocore.exceptions
import pytest

from conftest import REGION, Platform
from tenants import create_role, denial, refused, tenant_client

REGISTRY = f"683313688378.dkr.ecr.{REGION}.amazonaws.com"
SCRIPT = f"{REGISTRY}/sagemaker-scikit-learn:0.23-1-cpu-py3"
XGBOOST = f"{REGISTRY}/sagemaker-xgboost:1.7-1"
TRITON = f"785573368785.dkr.ecr.{REGION}.amazonaws.com/sagemaker-tritonserver:22.07-py3"

INFERENCE = """
import os
import time

def model_fn(directory):
    with open(os.path.join(directory, "answer")) as file:
        return file.read()

def transform_fn(model, data, content_type, accept):
    text = data if isinstance(data, str) else bytes(data).decode()
    if text == "die":
        os._exit(3)
    if text.startswith("sleep "):
        time.sleep(float(text.split()[1]))
    if text == "fail":
        raise ValueError("no such house")
    if text == "write":
        open("/opt/ml/model/mine", "w")
    if text.startswith("env "):
        return os.environ.get(text.split()[1], "none"), "text/plain"
    return f"{model} {text}", "text/plain"
"""

TRITON_CONFIG = """
backend: "fil"
max_batch_size: 32
input [ { name: "input__0" data_type: TYPE_FP32 dims: [ 6 ] } ]
output [ { name: "output__0" data_type: TYPE_FP32 dims: [ 1 ] } ]
parameters [
  { key: "model_type" value: { string_value: "xgboost_json" } },
  { key: "predict_proba" value: { string_value: "false" } },
  { key: "output_class" value: { string_value: "false" } }
]
"""


def archive(files):
    """A .tar.gz of names and texts."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            data = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def constant(value, features=6):
    """An XGBoost model in its JSON format: one tree of one leaf."""
    tree = {
        "base_weights": [value], "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": [],
        "default_left": [0], "id": 0, "left_children": [-1], "loss_changes": [0.0], "parents": [2147483647], "right_children": [-1],
        "split_conditions": [value], "split_indices": [0], "split_type": [0], "sum_hessian": [1.0],
        "tree_param": {"num_deleted": "0", "num_feature": str(features), "num_nodes": "1", "size_leaf_vector": "1"},
    }
    trees = {"gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "1", "size_leaf_vector": "0"}, "tree_info": [0], "trees": [tree]}
    learner = {
        "attributes": {}, "feature_names": [], "feature_types": [], "gradient_booster": {"model": trees, "name": "gbtree"},
        "learner_model_param": {"base_score": "0.0", "num_class": "0", "num_feature": str(features), "num_target": "1"},
        "objective": {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
    }
    return json.dumps({"learner": learner, "version": [1, 7, 6]})


class Hosting:
    """A bucket of models and the few calls that make an endpoint."""

    def __init__(self, platform: Platform):
        self.platform = platform
        self.sagemaker = platform.client("sagemaker")
        self.runtime = platform.client("sagemaker-runtime", read_timeout=120)
        self.s3 = platform.client("s3")
        self.bucket = f"sagemaker-hosting-{platform.account}"
        self.s3.create_bucket(Bucket=self.bucket)

    def put(self, key, files):
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=archive(files))
        return f"s3://{self.bucket}/{key}"

    def script(self, name, answer):
        """A model that answers `<answer> <request>`."""
        data = self.put(f"{name}.tar.gz", {"answer": answer, "code/inference.py": INFERENCE})
        self.model(name, SCRIPT, ModelDataUrl=data)

    def model(self, name, image, **container):
        role = container.pop("role", self.platform.role)
        return self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer={"Image": image, **container})["ModelArn"]

    def config(self, name, *models, **more):
        variants = [
            {
                "VariantName": "AllTraffic" if len(models) == 1 else f"v-{model}",
                "ModelName": model,
                "InstanceType": "ml.t2.medium",
                "InitialInstanceCount": 1,
                "ContainerStartupHealthCheckTimeoutInSeconds": 600,
            }
            for model in models
        ]
        return self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **more)["EndpointConfigArn"]

    def endpoint(self, name, config=None, **more):
        return self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config or name, **more)["EndpointArn"]

    def until(self, name, *statuses, seconds=600):
        end = time.monotonic() + seconds
        while True:
            described = self.sagemaker.describe_endpoint(EndpointName=name)
            if described["EndpointStatus"] in statuses:
                return described
            assert time.monotonic() < end and described["EndpointStatus"] != "Failed", f"not {statuses}: {described}"
            time.sleep(0.3)

    def ask(self, name, text="x", **more):
        answer = self.runtime.invoke_endpoint(EndpointName=name, ContentType="text/plain", Body=text, **more)
        return answer["Body"].read().decode()

    def deleted(self, name, seconds=120):
        self.sagemaker.delete_endpoint(EndpointName=name)
        end = time.monotonic() + seconds
        while True:
            try:
                status = self.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]
            except botocore.exceptions.ClientError as error:
                return error
            assert status == "Deleting" and time.monotonic() < end, status
            time.sleep(0.2)


@pytest.fixture(scope="module")
def hosting(platform):
    return Hosting(platform)


def test_what_is_asked_for_is_described_and_deleted(hosting):
    sagemaker, account = hosting.sagemaker, hosting.platform.account
    arn = f"arn:aws:sagemaker:{REGION}:{account}"
    hosting.script("Described-1", "d")
    described = sagemaker.describe_model(ModelName="Described-1")
    assert described["ModelArn"] == f"{arn}:model/described-1"
    assert described["PrimaryContainer"]["Image"] == SCRIPT and described["EnableNetworkIsolation"] is False
    again = refused(hosting.model, name="described-1", image=SCRIPT)
    assert again.response["Error"]["Message"] == f'Cannot create already existing model "{arn}:model/described-1".'
    assert [m["ModelName"] for m in sagemaker.list_models(NameContains="described")["Models"]] == ["Described-1"]
    made = hosting.config("Described-1", "Described-1", Tags=[{"Key": "TenantID", "Value": "tenant1"}])
    assert made == f"{arn}:endpoint-config/described-1"
    assert sagemaker.list_tags(ResourceArn=made)["Tags"] == [{"Key": "TenantID", "Value": "tenant1"}]
    config = sagemaker.describe_endpoint_config(EndpointConfigName="Described-1")
    assert config["ProductionVariants"][0]["ModelName"] == "Described-1"
    sagemaker.delete_endpoint_config(EndpointConfigName="Described-1")
    sagemaker.delete_model(ModelName="Described-1")
    for call, arguments, text in [
        (sagemaker.describe_model, {"ModelName": "Described-1"}, f'Could not find model "{arn}:model/described-1".'),
        (sagemaker.delete_model, {"ModelName": "Described-1"}, f'Could not find model "{arn}:model/described-1".'),
        (sagemaker.describe_endpoint_config, {"EndpointConfigName": "Described-1"}, f'Could not find endpoint configuration "{arn}:endpoint-config/described-1".'),
        (sagemaker.describe_endpoint, {"EndpointName": "none"}, f'Could not find endpoint "{arn}:endpoint/none".'),
        (sagemaker.create_endpoint, {"EndpointName": "n", "EndpointConfigName": "none"}, f'Could not find endpoint configuration "{arn}:endpoint-config/none".'),
    ]:
        error = refused(call, **arguments).response["Error"]
        assert (error["Code"], error["Message"]) == ("ValidationException", text)


def test_models_that_cannot_be(hosting):
    for container, text in [
        ({"image": f"{REGISTRY}/unheard-of:1"}, "image `"),
        ({"image": SCRIPT, "ModelDataUrl": f"s3://{hosting.bucket}/nothing.tar.gz"}, f"Could not find model data at s3://{hosting.bucket}/nothing.tar.gz."),
        ({"image": SCRIPT, "ModelDataUrl": "s3://not-the-platforms/m.tar.gz"}, ""),
    ]:
        error = refused(hosting.model, name="cannot-be", **container).response["Error"]
        assert error["Code"] == "ValidationException" and error["Message"].startswith(text), error
    vpc = {"Subnets": ["subnet-0123"], "SecurityGroupIds": ["0123"]}
    hosting.put("vpc.tar.gz", {"answer": "x"})
    with pytest.raises(botocore.exceptions.ClientError, match="VpcConfig"):
        hosting.sagemaker.create_model(ModelName="in-vpc", ExecutionRoleArn=hosting.platform.role, PrimaryContainer={"Image": SCRIPT}, VpcConfig=vpc)


def test_a_script_answers(hosting, wait):
    hosting.script("answers", "seen")
    hosting.config("answers", "answers")
    arn = hosting.endpoint("answers")
    error = refused(hosting.runtime.invoke_endpoint, EndpointName="answers", Body=b"early").response["Error"]
    assert (error["Code"], error["Message"]) == ("ValidationError", f"Endpoint answers of account {hosting.platform.account} not found.")
    assert refused(hosting.endpoint, name="answers").response["Error"]["Message"] == f'Cannot create already existing endpoint "{arn}".'
    described = hosting.until("answers", "InService")
    assert described["EndpointConfigName"] == "answers"
    variant = described["ProductionVariants"][0]
    assert (variant["VariantName"], variant["CurrentInstanceCount"], variant["CurrentWeight"]) == ("AllTraffic", 1, 1.0)
    assert variant["DeployedImages"][0]["SpecifiedImage"] == SCRIPT
    answer = hosting.runtime.invoke_endpoint(EndpointName="answers", ContentType="text/plain", Body=b"me")
    assert answer["Body"].read() == b"seen me" and answer["InvokedProductionVariant"] == "AllTraffic"
    assert answer["ContentType"].startswith("text/plain")
    for text, kind in [("fail", "no such house"), ("write", "Read-only file system")]:
        error = refused(hosting.ask, name="answers", text=text)
        response = error.response
        assert response["Error"]["Code"] == "ModelError" and response["ResponseMetadata"]["HTTPStatusCode"] == 424
        assert response["OriginalStatusCode"] == 500 and kind in response["OriginalMessage"], response
        assert response["LogStreamArn"] == f"arn:aws:logs:{REGION}:{hosting.platform.account}:log-group:/aws/sagemaker/Endpoints/answers"
        assert str(error).startswith("An error occurred (ModelError) when calling the InvokeEndpoint operation: Received server error (500) from primary with message")
    error = refused(hosting.ask, name="answers", TargetModel="m.tar.gz").response["Error"]
    assert error["Message"] == "Endpoint answers is not a multi-model endpoint and does not support target model header."
    stream = hosting.runtime.invoke_endpoint_with_response_stream(EndpointName="answers", ContentType="text/plain", Body=b"parts")
    assert b"".join(event["PayloadPart"]["Bytes"] for event in stream["Body"]) == b"seen parts"
    logs = hosting.platform.instance.client("logs")
    group = "/aws/sagemaker/Endpoints/answers"
    wait(lambda: logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"], bool, 30)
    streams = wait(lambda: logs.describe_log_streams(logGroupName=group)["logStreams"], bool, 30)
    assert len(streams) == 1 and streams[0]["logStreamName"].startswith("AllTraffic/i-")
    said = {"logGroupName": group, "logStreamNames": [streams[0]["logStreamName"]], "filterPattern": '"no such house"'}
    assert wait(lambda: logs.filter_log_events(**said)["events"], bool, 30), "what the container prints is in its log"
    gone = hosting.deleted("answers").response["Error"]["Message"]
    assert gone == f'Could not find endpoint "{arn}".'
    assert hosting.sagemaker.list_endpoints(NameContains="answers")["Endpoints"] == []


def test_an_isolated_container_has_no_credentials(hosting):
    data = hosting.put("isolated.tar.gz", {"answer": "x", "code/inference.py": INFERENCE})
    for name, isolated in (("isolated", True), ("connected", False)):
        container = {"Image": SCRIPT, "ModelDataUrl": data, "Environment": {"MINE": "yes"}}
        role = hosting.platform.role
        hosting.sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer=container, EnableNetworkIsolation=isolated)
        hosting.config(name, name)
        hosting.endpoint(name)
        hosting.until(name, "InService")
        credentials = hosting.ask(name, "env AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        assert credentials == "none" if isolated else credentials.startswith("/v2/credentials/")
        assert (hosting.ask(name, "env MINE"), hosting.ask(name, "env AWS_REGION")) == ("yes", REGION)
        hosting.deleted(name)


def test_a_serverless_variant_and_data_that_is_not_packed(hosting):
    for name, text in (("answer", "plain"), ("code/inference.py", INFERENCE)):
        hosting.s3.put_object(Bucket=hosting.bucket, Key=f"unpacked/{name}", Body=text.encode())
    source = {"S3Uri": f"s3://{hosting.bucket}/unpacked/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    hosting.model("unpacked", SCRIPT, ModelDataSource={"S3DataSource": source})
    variant = {"VariantName": "AllTraffic", "ModelName": "unpacked", "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 2}}
    hosting.sagemaker.create_endpoint_config(EndpointConfigName="unpacked", ProductionVariants=[variant])
    hosting.endpoint("unpacked")
    described = hosting.until("unpacked", "InService")
    assert described["ProductionVariants"][0]["CurrentServerlessConfig"]["MaxConcurrency"] == 2
    assert hosting.ask("unpacked", "me") == "plain me"
    hosting.deleted("unpacked")


def test_xgboost_answers_rows(hosting):
    data = hosting.put("rows.tar.gz", {"model.json": constant(86082.5, 3)})
    hosting.model("rows", XGBOOST, ModelDataUrl=data)
    hosting.config("rows", "rows")
    hosting.endpoint("rows")
    hosting.until("rows", "InService")
    answer = hosting.runtime.invoke_endpoint(EndpointName="rows", ContentType="text/csv", Body="1,2,3\n4,5,6")
    assert [float(line) for line in answer["Body"].read().split()] == [86082.5, 86082.5]
    error = refused(hosting.runtime.invoke_endpoint, EndpointName="rows", ContentType="text/csv", Body="1,2")
    assert error.response["OriginalStatusCode"] == 400 and "Received client error (400) from primary" in str(error)
    hosting.deleted("rows")


def test_the_sdk_deploys_and_predicts(hosting, sdk):
    import sagemaker

    data = hosting.put("sdk.tar.gz", {"model.json": constant(12.5, 2)})
    model = sagemaker.model.Model(image_uri=XGBOOST, model_data=data, role=hosting.platform.role, name="sdk", sagemaker_session=sdk)
    model.deploy(initial_instance_count=1, instance_type="ml.m5.large", endpoint_name="sdk")
    serializer, deserializer = sagemaker.serializers.CSVSerializer(), sagemaker.deserializers.CSVDeserializer()
    predictor = sagemaker.predictor.Predictor("sdk", sagemaker_session=sdk, serializer=serializer, deserializer=deserializer)
    assert predictor.predict([[1, 2], [3, 4]]) == [["12.5"], ["12.5"]]
    predictor.delete_endpoint(delete_endpoint_config=True)


def test_a_model_of_a_model_package(hosting):
    data = hosting.put("packaged.tar.gz", {"answer": "packaged", "code/inference.py": INFERENCE})
    hosting.sagemaker.create_model_package_group(ModelPackageGroupName="hosted")
    specification = {
        "Containers": [{"Image": SCRIPT, "ModelDataUrl": data, "Environment": {"OF": "package", "BOTH": "package"}}],
        "SupportedContentTypes": ["text/plain"],
        "SupportedResponseMIMETypes": ["text/plain"],
    }
    package = hosting.sagemaker.create_model_package(
        ModelPackageGroupName="hosted", InferenceSpecification=specification, ModelApprovalStatus="Approved"
    )["ModelPackageArn"]
    container = {"ModelPackageName": package, "Environment": {"BOTH": "model"}}
    hosting.sagemaker.create_model(ModelName="packaged", ExecutionRoleArn=hosting.platform.role, PrimaryContainer=container)
    assert hosting.sagemaker.describe_model(ModelName="packaged")["PrimaryContainer"] == container
    hosting.config("packaged", "packaged")
    hosting.endpoint("packaged")
    hosting.until("packaged", "InService")
    assert hosting.ask("packaged") == "packaged x"
    assert (hosting.ask("packaged", "env OF"), hosting.ask("packaged", "env BOTH")) == ("package", "model")
    hosting.deleted("packaged")
    # Whoever may make models and may not see the package makes none of it.
    statement = {"Effect": "Allow", "Action": ["sagemaker:CreateModel", "iam:PassRole"], "Resource": "*"}
    role = create_role(hosting.platform, "MakesModelsOnly", statement)
    maker = tenant_client(hosting.platform, "sagemaker", role, "tenant1")
    error = refused(maker.create_model, ModelName="unseen", ExecutionRoleArn=hosting.platform.role, PrimaryContainer=container)
    assert error.response["Error"]["Code"] == "AccessDeniedException" and "sagemaker:DescribeModelPackage" in str(error)


def test_an_update_drops_no_request(hosting):
    for name in ("before", "after"):
        hosting.script(name, name)
        hosting.config(f"updated-{name}", name)
    hosting.endpoint("updated", "updated-before")
    hosting.until("updated", "InService")
    answers, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                answers.append(hosting.ask("updated", "sleep 0.1"))
            except Exception as error:  # told by the main thread
                answers.append(repr(error))

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    try:
        hosting.sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName="updated-after")
        pending = hosting.sagemaker.describe_endpoint(EndpointName="updated")
        assert pending["EndpointStatus"] == "Updating" and pending["EndpointConfigName"] == "updated-before"
        error = refused(hosting.sagemaker.update_endpoint, EndpointName="updated", EndpointConfigName="updated-before")
        assert "Cannot update in-progress endpoint" in str(error)
        described = hosting.until("updated", "InService")
        assert described["EndpointConfigName"] == "updated-after"
        deadline = time.monotonic() + 60
        while not answers[-1].startswith("after") and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    assert {answer.split()[0] for answer in answers} == {"before", "after"}, [a for a in answers if not a.startswith(("before", "after"))][:3]
    # One that cannot start is rolled back, and the old one goes on.
    hosting.script("broken", "x")
    hosting.put("broken.tar.gz", {"code/inference.py": "raise RuntimeError('not this one')"})
    hosting.config("updated-broken", "broken")
    hosting.sagemaker.update_endpoint(EndpointName="updated", EndpointConfigName="updated-broken")
    described = hosting.until("updated", "InService")
    assert described["EndpointConfigName"] == "updated-after"
    assert described["FailureReason"] == (
        "The primary container for production variant AllTraffic did not pass the ping health check. Please check CloudWatch logs for this endpoint."
    )
    assert hosting.ask("updated") == "after x"
    hosting.deleted("updated")


def test_weights_and_counts(hosting):
    for name in ("left", "right"):
        hosting.script(name, name)
    hosting.config("weighed", "left", "right")
    hosting.endpoint("weighed")
    hosting.until("weighed", "InService")
    assert {hosting.ask("weighed").split()[0] for _ in range(60)} == {"left", "right"}
    assert hosting.ask("weighed", TargetVariant="v-right") == "right x"
    wishes = [{"VariantName": "v-left", "DesiredWeight": 0.0}, {"VariantName": "v-right", "DesiredInstanceCount": 2}]
    hosting.sagemaker.update_endpoint_weights_and_capacities(EndpointName="weighed", DesiredWeightsAndCapacities=wishes)
    described = hosting.until("weighed", "InService")
    left, right = described["ProductionVariants"]
    assert (left["CurrentWeight"], right["CurrentInstanceCount"]) == (0.0, 2)
    assert {hosting.ask("weighed").split()[0] for _ in range(20)} == {"right"}
    error = refused(hosting.ask, name="weighed", TargetVariant="v-none")
    assert error.response["Error"]["Code"] == "ValidationError"
    hosting.deleted("weighed")


def test_a_container_that_ends_is_started_again(hosting):
    hosting.script("ends", "alive")
    hosting.config("ends", "ends")
    hosting.endpoint("ends")
    hosting.until("ends", "InService")
    error = refused(hosting.ask, name="ends", text="die")
    assert error.response["Error"]["Code"] == "ModelError"
    # It waits for the container that is started anew.
    assert hosting.ask("ends", "again") == "alive again"
    assert hosting.sagemaker.describe_endpoint(EndpointName="ends")["EndpointStatus"] == "InService"
    hosting.deleted("ends")


def test_an_endpoint_that_cannot_start_fails_with_its_reason(hosting):
    hosting.script("unhealthy", "x")
    hosting.put("unhealthy.tar.gz", {"code/inference.py": "raise RuntimeError('not today')"})
    hosting.config("unhealthy", "unhealthy")
    hosting.endpoint("unhealthy")
    hosting.script("vanished", "x")
    hosting.s3.delete_object(Bucket=hosting.bucket, Key="vanished.tar.gz")
    hosting.config("vanished", "vanished")
    hosting.endpoint("vanished")
    hosting.script("hostile", "x")
    hosting.put("hostile.tar.gz", {"../escaped": "x"})
    hosting.config("hostile", "hostile")
    hosting.endpoint("hostile")
    for name, reason in [
        ("unhealthy", "did not pass the ping health check. Please check CloudWatch logs for this endpoint."),
        ("vanished", f'Failed to download model data for container "container_1" from URL: "s3://{hosting.bucket}/vanished.tar.gz". Please ensure'),
        ("hostile", "leads out of its directory"),
    ]:
        end = time.monotonic() + 300
        while (described := hosting.sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"] != "Failed":
            assert described["EndpointStatus"] == "Creating" and time.monotonic() < end, described
            time.sleep(0.3)
        assert reason in described["FailureReason"], described
        hosting.deleted(name)


def test_a_role_that_may_not_read_the_model(hosting):
    iam = hosting.platform.instance.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="ReadsNothing", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))["Role"]["Arn"]
    data = hosting.put("secret.tar.gz", {"answer": "x"})
    sagemaker = hosting.platform.instance.client("sagemaker")
    error = refused(sagemaker.create_model, ModelName="denied", ExecutionRoleArn=role, PrimaryContainer={"Image": SCRIPT, "ModelDataUrl": data})
    message = error.response["Error"]["Message"]
    assert message.startswith(f'Could not access model data at {data}. Please ensure that the role "{role}" exists'), message
    assert 'the role has "s3:GetObject" permissions' in message


@pytest.fixture(scope="module")
def pooled(hosting):
    """A multi-model endpoint with models of two tenants."""
    for tenant, price in (("tenant1-app1", 100.5), ("tenant2-app1", 200.5)):
        hosting.put(f"pool/{tenant}.model.0.tar.gz", {"fil/config.pbtxt": TRITON_CONFIG, "fil/1/xgboost.json": constant(price)})
    hosting.model("pooled", TRITON, Mode="MultiModel", ModelDataUrl=f"s3://{hosting.bucket}/pool/")
    hosting.config("pooled", "pooled")
    arn = hosting.endpoint("pooled")
    hosting.until("pooled", "InService")
    yield arn
    hosting.deleted("pooled")


def test_tenants_share_an_endpoint_and_call_their_own_models(hosting, pooled):
    statement = {
        "Effect": "Allow",
        "Action": "sagemaker:InvokeEndpoint",
        "Resource": pooled,
        "Condition": {"StringLike": {"sagemaker:TargetModel": "${aws:PrincipalTag/TenantID}*"}},
    }
    role = create_role(hosting.platform, "TenantInvokeRole", statement)
    tensor = {"name": "input__0", "shape": [1, 6], "datatype": "FP32", "data": [[1, 2, 3, 4, 5, 6]]}
    body = json.dumps({"inputs": [tensor]})
    tenant1 = tenant_client(hosting.platform, "sagemaker-runtime", role, "tenant1")

    def ask(client, target=None):
        more = {} if target is None else {"TargetModel": target}
        answer = client.invoke_endpoint(EndpointName="pooled", ContentType="application/octet-stream", Body=body, **more)
        return json.loads(answer["Body"].read())["outputs"][0]["data"]

    assert ask(tenant1, "tenant1-app1.model.0.tar.gz") == [100.5]
    assert ask(tenant_client(hosting.platform, "sagemaker-runtime", role, "tenant2"), "tenant2-app1.model.0.tar.gz") == [200.5]
    user = f"arn:aws:sts::{hosting.platform.account}:assumed-role/TenantInvokeRole/tenant1"
    denied = denial("InvokeEndpoint", user, "sagemaker:InvokeEndpoint", pooled)
    assert str(refused(ask, client=tenant1, target="tenant2-app1.model.0.tar.gz")) == denied
    assert str(refused(ask, client=tenant1)) == denied, "without a target model the condition has nothing to match"
    # A name is a key, not a path: what begins like the tenant's own leads nowhere else.
    error = refused(ask, client=tenant1, target="tenant1/../tenant2-app1.model.0.tar.gz").response["Error"]
    key = "pool/tenant1/../tenant2-app1.model.0.tar.gz"
    assert error["Code"] == "ValidationError"
    assert error["Message"].startswith(f"Failed to download model data(bucket: {hosting.bucket}, key: {key}). Please ensure that there is an object located at the URL")
    error = refused(ask, client=hosting.runtime).response["Error"]
    assert error["Code"] == "ValidationError" and "is missing a target model header" in error["Message"]
    # Loaded once, it answers also when its object is gone.
    hosting.s3.delete_object(Bucket=hosting.bucket, Key="pool/tenant1-app1.model.0.tar.gz")
    assert ask(tenant1, "tenant1-app1.model.0.tar.gz") == [100.5]


def test_a_model_that_does_not_load_is_a_model_error(hosting, pooled):
    hosting.put("pool/bad.tar.gz", {"fil/config.pbtxt": "backend: 7", "fil/1/xgboost.json": "{}"})
    for _ in range(2):
        error = refused(hosting.runtime.invoke_endpoint, EndpointName="pooled", Body=b"{}", TargetModel="bad.tar.gz")
        assert error.response["Error"]["Code"] == "ModelError" and "failed to load model" in error.response["OriginalMessage"]
    hosting.s3.put_object(Bucket=hosting.bucket, Key="pool/text.tar.gz", Body=b"no archive")
    error = refused(hosting.runtime.invoke_endpoint, EndpointName="pooled", Body=b"{}", TargetModel="text.tar.gz")
    assert error.response["Error"]["Code"] == "ValidationError"


def test_requests_and_answers_are_captured(hosting, wait):
    hosting.script("captured", "seen")
    destination = f"s3://{hosting.bucket}/captured"
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": destination,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/plain"]},
    }
    hosting.config("captured", "captured", DataCaptureConfig=capture)
    hosting.endpoint("captured")
    described = hosting.until("captured", "InService")
    assert described["DataCaptureConfig"]["CaptureStatus"] == "Started"
    assert hosting.ask("captured", "1,2", InferenceId="mine") == "seen 1,2"
    found = wait(lambda: hosting.s3.list_objects_v2(Bucket=hosting.bucket, Prefix="captured/captured/AllTraffic/").get("Contents"), bool, 30)
    assert found[0]["Key"].endswith(".jsonl")
    record = json.loads(hosting.s3.get_object(Bucket=hosting.bucket, Key=found[0]["Key"])["Body"].read())
    assert record["captureData"]["endpointInput"] == {"observedContentType": "text/plain", "mode": "INPUT", "data": "1,2", "encoding": "CSV"}
    assert record["captureData"]["endpointOutput"]["data"] == "seen 1,2"
    assert record["eventMetadata"]["inferenceId"] == "mine"
    hosting.deleted("captured")


def test_asynchronous_answers_go_to_s3(hosting, wait):
    hosting.script("later", "seen")
    output = {"S3OutputPath": f"s3://{hosting.bucket}/later", "S3FailurePath": f"s3://{hosting.bucket}/failed"}
    hosting.config("later", "later", AsyncInferenceConfig={"OutputConfig": output})
    hosting.endpoint("later")
    hosting.until("later", "InService")
    for text, place in (("me", "OutputLocation"), ("fail", "FailureLocation")):
        hosting.s3.put_object(Bucket=hosting.bucket, Key=f"asked/{text}", Body=text.encode())
        accepted = hosting.runtime.invoke_endpoint_async(EndpointName="later", ContentType="text/plain", InputLocation=f"s3://{hosting.bucket}/asked/{text}")
        key = accepted[place].removeprefix(f"s3://{hosting.bucket}/")
        wait(lambda: hosting.s3.list_objects_v2(Bucket=hosting.bucket, Prefix=key).get("Contents"), bool, 60)
        answer = hosting.s3.get_object(Bucket=hosting.bucket, Key=key)["Body"].read().decode()
        assert answer == "seen me" if text == "me" else "no such house" in answer
    assert refused(hosting.ask, name="later").response["Error"]["Code"] == "ValidationError"
    hosting.deleted("later")


def transformed(hosting, name, seconds=300):
    end = time.monotonic() + seconds
    while (described := hosting.sagemaker.describe_transform_job(TransformJobName=name))["TransformJobStatus"] in ("InProgress", "Stopping"):
        assert time.monotonic() < end, described
        time.sleep(0.3)
    return described


def transform(hosting, name, model, source, **more):
    return hosting.sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=model,
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{hosting.bucket}/{source}"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        TransformOutput={"S3OutputPath": f"s3://{hosting.bucket}/transformed/", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **more,
    )["TransformJobArn"]


def test_transform_jobs(hosting):
    data = hosting.put("batch.tar.gz", {"model.json": constant(7.5, 3)})
    hosting.model("batch", XGBOOST, ModelDataUrl=data)
    for name, rows in (("one", 3), ("deep/two", 250)):
        hosting.s3.put_object(Bucket=hosting.bucket, Key=f"batch/{name}.csv", Body=b"1,2,3\n" * rows)
    arn = transform(hosting, "batch", "batch", "batch/")
    assert arn == f"arn:aws:sagemaker:{REGION}:{hosting.platform.account}:transform-job/batch"
    described = transformed(hosting, "batch")
    assert described["TransformJobStatus"] == "Completed", described
    assert described["TransformEndTime"] >= described["TransformStartTime"]
    for name, rows in (("one", 3), ("deep/two", 250)):
        out = hosting.s3.get_object(Bucket=hosting.bucket, Key=f"transformed/{name}.csv.out")["Body"].read().split()
        assert [float(line) for line in out] == [7.5] * rows
    assert refused(transform, hosting=hosting, name="batch", model="batch", source="batch/").response["Error"]["Code"] == "ResourceInUse"
    hosting.s3.put_object(Bucket=hosting.bucket, Key="bad-batch/x.csv", Body=b"1,2\n")
    transform(hosting, "bad-batch", "batch", "bad-batch/", BatchStrategy="SingleRecord", MaxConcurrentTransforms=4)
    described = transformed(hosting, "bad-batch")
    assert (described["TransformJobStatus"], described["FailureReason"]) == ("Failed", "ClientError: See job logs for more information")
    transform(hosting, "no-batch", "batch", "nothing-here/")
    described = transformed(hosting, "no-batch")
    assert described["TransformJobStatus"] == "Failed" and "no objects under" in described["FailureReason"]
    transform(hosting, "stopped-batch", "batch", "batch/")
    hosting.sagemaker.stop_transform_job(TransformJobName="stopped-batch")
    assert transformed(hosting, "stopped-batch")["TransformJobStatus"] in ("Stopped", "Completed")
    listed = hosting.sagemaker.list_transform_jobs(NameContains="batch", StatusEquals="Failed")["TransformJobSummaries"]
    assert {job["TransformJobName"] for job in listed} == {"bad-batch", "no-batch"}


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_endpoints_come_back_after_a_restart(own_instance, ending):
    hosting = Hosting(Platform(own_instance))
    hosting.script("back", "back")
    hosting.config("back", "back")
    hosting.endpoint("back")
    hosting.until("back", "InService")
    assert hosting.ask("back") == "back x"
    getattr(own_instance, ending)()
    own_instance.restart()
    runtime = own_instance.client("sagemaker-runtime", read_timeout=120)
    sagemaker = own_instance.client("sagemaker")
    assert sagemaker.describe_endpoint(EndpointName="back")["EndpointStatus"] == "InService"
    end = time.monotonic() + 120
    while True:
        try:
            answer = runtime.invoke_endpoint(EndpointName="back", ContentType="text/plain", Body=b"again")
            break
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "ServiceUnavailable" and time.monotonic() < end, error
    assert answer["Body"].read() == b"back again"

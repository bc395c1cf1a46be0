"""The writers: each changes things of one kind and knows what must be there afterwards."""

import hashlib
import json
import time

import botocore.exceptions

CONNECTION = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.IncompleteReadError,
    botocore.exceptions.ResponseStreamingError,
    ConnectionError,
)
MIB = 1 << 20


class Interrupted(Exception):
    """The server went away."""


class Broken(Exception):
    """The server does not hold what it had acknowledged."""


def code(error):
    return error.response["Error"]["Code"]


def absent(call, *codes, **arguments):
    """The answer, or None where the error says that there is no such thing."""
    try:
        return call(**arguments)
    except botocore.exceptions.ClientError as error:
        if code(error) in codes:
            return None
        raise


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


class Writer:
    """A ledger of things by name. What a thing is, is whatever `look` answers; None means that it is not there."""

    name = ""
    things = 8
    # What 200 kills must have exercised at least, by the names of `tally`.
    floors = {}

    def __init__(self, server, chance, tenant):
        self.server, self.chance, self.tenant = server, chance, tenant
        self.tally = {}
        self.known, self.doubt = {}, {}
        self.acknowledged = self.interrupted = self.took_effect = self.count = 0

    def client(self, service):
        return self.tenant.client(self.server, service)

    def count_one(self, what):
        self.tally[what] = self.tally.get(what, 0) + 1

    @property
    def title(self):
        return f"{self.name} of {self.tenant.name}"

    def unexercised(self, kills):
        """What was done too seldom for the run to mean anything."""
        have = {"acknowledged": self.acknowledged} | self.tally
        wanted = {what: floor * kills // 200 for what, floor in self.floors.items()}
        return [f"only {have.get(what, 0)} {what}, {floor} are wanted" for what, floor in wanted.items() if have.get(what, 0) < floor]

    def calling(self, call, *arguments, **named):
        try:
            return call(*arguments, **named)
        except CONNECTION as error:
            raise Interrupted from error

    def change(self, name, after, call, *arguments, **named):
        """One change of one thing, and the ledger's lines around it."""
        self.doubt[name] = (self.known.get(name), after)
        self.calling(call, *arguments, **named)
        self.known[name] = after
        del self.doubt[name]
        self.acknowledged += 1

    def check(self, name):
        have = self.calling(self.look, name)
        if name in self.doubt:
            before, after = self.doubt[name]
            if have not in (before, after):
                raise Broken(f"{name} was {before}, was to become {after}, and is {have}")
            self.interrupted += 1
            self.took_effect += have == after
            self.known[name] = have
            del self.doubt[name]
        elif have != self.known.get(name):
            raise Broken(f"{name} was acknowledged as {self.known.get(name)} and is {have}")

    def settle(self):
        """Right after a start: all that was under way, and some of the rest."""
        for name in list(self.doubt):
            self.check(name)
        for name in self.chance.sample(sorted(self.known), min(2, len(self.known))):
            self.check(name)

    def check_all(self):
        for name in sorted(self.known):
            self.check(name)

    def drain(self, deadline):
        """Waits until what was started has ended."""

    def pick(self):
        return f"{self.name}-{self.chance.randrange(self.things)}"


class Objects(Writer):
    """Objects that are written, overwritten and deleted."""

    name = "objects"
    things = 30
    sizes = (0, 10, 3000, 70_000, 3 * MIB)
    floors = {"acknowledged": 60}

    prepared = False

    def settle(self):
        self.bucket = f"crash-{self.name}-{self.tenant.name}"
        if not self.prepared:
            self.calling(self.make_bucket)
            self.prepared = True
        super().settle()

    def make_bucket(self):
        absent(self.client("s3").create_bucket, "BucketAlreadyOwnedByYou", Bucket=self.bucket)

    def look(self, name):
        answer = absent(self.client("s3").get_object, "NoSuchKey", Bucket=self.bucket, Key=name)
        return answer and digest(answer["Body"].read())

    def body(self, size):
        self.count += 1
        return (f"{self.name} {self.count} ".encode() * (size // 10 + 1))[:size] + str(self.count).encode()

    def step(self):
        name, s3 = self.pick(), self.client("s3")
        if name in self.known and self.chance.random() < 0.2:
            self.change(name, None, s3.delete_object, Bucket=self.bucket, Key=name)
        else:
            body = self.body(self.chance.choice(self.sizes))
            self.change(name, digest(body), s3.put_object, Bucket=self.bucket, Key=name, Body=body)


class Uploads(Objects):
    """Objects in parts: all of them or nothing."""

    name = "uploads"
    things = 6
    floors = {"acknowledged": 8}

    def step(self):
        name, s3 = self.pick(), self.client("s3")
        where = {"Bucket": self.bucket, "Key": name}
        parts = [self.body(5 * MIB), self.body(self.chance.choice(self.sizes))]
        upload = self.calling(s3.create_multipart_upload, **where)["UploadId"]
        done = []
        for number, part in enumerate(parts, 1):
            answer = self.calling(s3.upload_part, **where, UploadId=upload, PartNumber=number, Body=part)
            done.append({"ETag": answer["ETag"], "PartNumber": number})
        whole = digest(b"".join(parts))
        self.change(name, whole, s3.complete_multipart_upload, **where, UploadId=upload, MultipartUpload={"Parts": done})

    def check_all(self):
        super().check_all()
        # What was never completed can still be given up, and is gone then.
        s3 = self.client("s3")
        for upload in s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []):
            s3.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        if s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads"):
            raise Broken("uploads that were aborted are still listed")


class Versions(Objects):
    """Objects of a versioned bucket: a thing is the list of its versions, and an acknowledged one is there exactly once."""

    name = "versions"
    things = 4
    longest = 40
    floors = {"acknowledged": 60}

    def make_bucket(self):
        super().make_bucket()
        self.client("s3").put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})

    def look(self, name):
        answer = self.client("s3").list_object_versions(Bucket=self.bucket, Prefix=name)
        tags = [version["ETag"] for version in answer.get("Versions", []) if version["Key"] == name]
        return tuple(reversed(tags)) or None

    def step(self):
        name, s3 = self.pick(), self.client("s3")
        had = self.known.get(name) or ()
        if len(had) >= self.longest:
            name = f"{name}-{self.count}"
            had = self.known.get(name) or ()
        body = self.body(100)
        after = (*had, f'"{hashlib.md5(body).hexdigest()}"')
        self.change(name, after, s3.put_object, Bucket=self.bucket, Key=name, Body=body)


TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class Roles(Writer):
    """Roles with tags and policies: a thing is the role with all it carries."""

    name = "roles"
    floors = {"acknowledged": 60}

    def look(self, name):
        iam = self.client("iam")
        role = absent(iam.get_role, "NoSuchEntity", RoleName=name)
        if role is None:
            return None
        tags = {tag["Key"]: tag["Value"] for tag in role["Role"].get("Tags", [])}
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        attached = [one["PolicyName"] for one in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]]
        return json.dumps([tags, sorted(inline), sorted(attached)], sort_keys=True)

    def step(self):
        name, iam = self.pick(), self.client("iam")
        self.count += 1
        have = self.known.get(name)
        if have is None:
            self.change(name, json.dumps([{"n": str(self.count)}, [], []]), iam.create_role, RoleName=name,
                        AssumeRolePolicyDocument=policy(TRUST), Tags=[{"Key": "n", "Value": str(self.count)}])
            return
        tags, inline, attached = json.loads(have)
        after = lambda: json.dumps([tags, sorted(inline), sorted(attached)], sort_keys=True)  # noqa: E731
        managed = "AmazonS3ReadOnlyAccess"
        match self.chance.randrange(5):
            case 0:
                tags["n"] = str(self.count)
                self.change(name, after(), iam.tag_role, RoleName=name, Tags=[{"Key": "n", "Value": tags["n"]}])
            case 1 if "own" not in inline:
                inline.append("own")
                document = policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
                self.change(name, after(), iam.put_role_policy, RoleName=name, PolicyName="own", PolicyDocument=document)
            case 2 if managed not in attached:
                attached.append(managed)
                self.change(name, after(), iam.attach_role_policy, RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{managed}")
            case 3 if inline:
                self.change(name, json.dumps([tags, [], sorted(attached)], sort_keys=True), iam.delete_role_policy, RoleName=name, PolicyName="own")
            case 4 if not inline and not attached:
                self.change(name, None, iam.delete_role, RoleName=name)


class Working(Writer):
    """A writer that needs a role to work as, and data in a bucket."""

    role_name = "CrashExecution"

    prepared = False

    def settle(self):
        self.bucket = f"crash-data-{self.tenant.name}"
        # Once: what was made is there from then on, or something that needs it fails.
        if not self.prepared:
            self.calling(self.prepare)
            self.prepared = True
        super().settle()

    def prepare(self):
        iam, s3 = self.client("iam"), self.client("s3")
        absent(iam.create_role, "EntityAlreadyExists", RoleName=self.role_name, AssumeRolePolicyDocument=policy(TRUST))
        iam.put_role_policy(RoleName=self.role_name, PolicyName="all", PolicyDocument=policy({"Effect": "Allow", "Action": "*", "Resource": "*"}))
        absent(s3.create_bucket, "BucketAlreadyOwnedByYou", Bucket=self.bucket)
        self.role = f"arn:aws:iam::{self.tenant.account}:role/{self.role_name}"


IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"


class Pipelines(Working):
    """Pipelines: a thing is the definition."""

    name = "pipelines"
    floors = {"acknowledged": 60}

    def look(self, name):
        answer = absent(self.client("sagemaker").describe_pipeline, "ResourceNotFound", PipelineName=name)
        return answer and digest(answer["PipelineDefinition"].encode())

    def step(self):
        name, sagemaker = self.pick(), self.client("sagemaker")
        self.count += 1
        definition = json.dumps({"Version": "2020-12-01", "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": str(self.count)}}]})
        after = digest(definition.encode())
        if self.known.get(name) is None:
            token = f"{name}-{self.count}".ljust(32, "x")
            self.change(name, after, sagemaker.create_pipeline, PipelineName=name, PipelineDefinition=definition, RoleArn=self.role, ClientRequestToken=token)
        elif self.chance.random() < 0.2:
            self.change(name, None, sagemaker.delete_pipeline, PipelineName=name, ClientRequestToken=f"d{self.count}".ljust(32, "x"))
        else:
            self.change(name, after, sagemaker.update_pipeline, PipelineName=name, PipelineDefinition=definition)


class Executions(Working):
    """Executions that register a model: each token starts one, and each ends with one model package."""

    name = "executions"
    pipeline = "crash-register"
    floors = {"acknowledged": 40, "succeeded": 40}

    def prepare(self):
        super().prepare()
        sagemaker = self.client("sagemaker")
        if absent(sagemaker.describe_pipeline, "ResourceNotFound", PipelineName=self.pipeline) is None:
            self.client("s3").put_object(Bucket=self.bucket, Key="model.tar.gz", Body=b"model")
            arguments = {
                "ModelPackageGroupName": {"Get": "Parameters.Group"},
                "InferenceSpecification": {
                    "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{self.bucket}/model.tar.gz"}],
                    "SupportedContentTypes": ["text/csv"],
                    "SupportedResponseMIMETypes": ["text/csv"],
                },
            }
            definition = {
                "Version": "2020-12-01",
                "Parameters": [{"Name": "Group", "Type": "String"}],
                "Steps": [
                    {
                        "Name": "Good",
                        "Type": "Condition",
                        "Arguments": {
                            "Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}],
                            "IfSteps": [{"Name": "Register", "Type": "RegisterModel", "Arguments": arguments}],
                            "ElseSteps": [],
                        },
                    }
                ],
            }
            sagemaker.create_pipeline(
                PipelineName=self.pipeline, PipelineDefinition=json.dumps(definition), RoleArn=self.role, ClientRequestToken="crash".ljust(32, "x")
            )

    def start(self, name):
        parameters = [{"Name": "Group", "Value": name}]
        answer = self.client("sagemaker").start_pipeline_execution(
            PipelineName=self.pipeline, PipelineParameters=parameters, ClientRequestToken=name.ljust(32, "x"), PipelineExecutionDisplayName=name
        )
        return answer["PipelineExecutionArn"]

    def check(self, name):
        """Repeating the request finds the execution that there is, if there is one."""
        arn = self.calling(self.start, name)
        if name in self.doubt:
            self.interrupted += 1
            del self.doubt[name]
            self.known[name] = arn
        elif self.known[name] != arn:
            raise Broken(f"the token of {name} started {self.known[name]}, and when repeated {arn}")

    def step(self):
        self.count += 1
        name = f"{self.name}-{self.count}"
        self.doubt[name] = (None, name)
        self.known[name] = self.calling(self.start, name)
        del self.doubt[name]
        self.acknowledged += 1
        # A pause: thousands of executions would be a measurement of something else.
        time.sleep(0.05)

    def drain(self, deadline):
        sagemaker = self.client("sagemaker")
        for name, arn in self.known.items():
            while (status := sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"]) == "Executing":
                if time.monotonic() > deadline:
                    raise Broken(f"{name} is stuck")
                time.sleep(0.1)
            self.count_one(status.lower())
            if status != "Succeeded":
                raise Broken(f"{name} is {status}: {sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn).get('FailureReason')}")

    def check_all(self):
        super().check_all()
        sagemaker = self.client("sagemaker")
        pages = sagemaker.get_paginator("list_pipeline_executions").paginate(PipelineName=self.pipeline)
        names = sorted(one["PipelineExecutionDisplayName"] for page in pages for one in page["PipelineExecutionSummaries"])
        if names != sorted(self.known):
            raise Broken(f"{len(names)} executions for {len(self.known)} tokens")
        for name in self.known:
            packages = sagemaker.list_model_packages(ModelPackageGroupName=name)["ModelPackageSummaryList"]
            if len(packages) != 1:
                raise Broken(f"{name} registered {len(packages)} model packages")


class Jobs(Working):
    """Processing jobs: a name is one job, which ends, and says how."""

    name = "jobs"
    ends = ("Completed", "Failed", "Stopped")
    floors = {"acknowledged": 8, "completed": 4}

    def look(self, name):
        job = absent(self.client("sagemaker").describe_processing_job, "ValidationException", "ResourceNotFound", ProcessingJobName=name)
        return job and "job"

    def step(self):
        # Few: each runs for a second or more, in a sandbox.
        if self.chance.random() > 0.1:
            time.sleep(0.3)
            self.calling(self.client("sagemaker").list_processing_jobs, MaxResults=1)
            return
        self.count += 1
        name = f"{self.name}-{self.count}"
        output = {"OutputName": "out", "S3Output": {"S3Uri": f"s3://{self.bucket}/{name}", "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"}}
        self.change(name, "job", self.client("sagemaker").create_processing_job,
                    ProcessingJobName=name, RoleArn=self.role,
                    AppSpecification={"ImageUri": IMAGE, "ContainerEntrypoint": ["sh", "-c", "sleep 0.3; echo done > /opt/ml/processing/out/done"]},
                    ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
                    ProcessingOutputConfig={"Outputs": [output]})

    def drain(self, deadline):
        sagemaker, s3 = self.client("sagemaker"), self.client("s3")
        for name in [name for name, thing in self.known.items() if thing]:
            while (job := sagemaker.describe_processing_job(ProcessingJobName=name))["ProcessingJobStatus"] not in self.ends:
                if time.monotonic() > deadline:
                    raise Broken(f"{name} is stuck in {job['ProcessingJobStatus']}")
                time.sleep(0.2)
            objects = [one["Key"] for one in s3.list_objects_v2(Bucket=self.bucket, Prefix=f"{name}/").get("Contents", [])]
            if job["ProcessingJobStatus"] == "Completed" and objects != [f"{name}/done"]:
                raise Broken(f"{name} is Completed and left {objects}")
            if job["ProcessingJobStatus"] == "Failed" and not job.get("FailureReason"):
                raise Broken(f"{name} failed without a reason")
            self.count_one(job["ProcessingJobStatus"].lower())


# A server of a few lines, so that an endpoint is up within a life. The image is described to the server by `IMAGES`.
SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self, body):
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(b'')
    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers.get('content-length') or 0)))
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(('0.0.0.0', 8080), Handler).serve_forever()
"""
# The packages are those of the plain Python image, whose environment is made already.
IMAGES = {
    "crash-server.toml": f"""
repository = ["crash-server"]
[[version]]
tags = ["*"]
python = "3.11"
packages = ["numpy==1.26.4", "pandas==2.2.3", "boto3", "requests", "pip"]
[entry]
train = []
serve = ["python", "-c", {json.dumps(SERVER)}]
processing = []
multi_model = false
"""
}


class Endpoints(Working):
    """Endpoints that are made, changed, asked and deleted. That one is there is certain at once, what it serves once it has settled."""

    name = "endpoints"
    things = 2
    floors = {"created": 3, "in service": 6, "updated": 2, "invoked": 2, "deleted": 3}

    def prepare(self):
        super().prepare()
        sagemaker = self.client("sagemaker")
        if absent(sagemaker.describe_model, "ValidationException", ModelName="crash") is None:
            image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/crash-server:1"
            sagemaker.create_model(ModelName="crash", ExecutionRoleArn=self.role, PrimaryContainer={"Image": image})
        for number in (1, 2):
            if absent(sagemaker.describe_endpoint_config, "ValidationException", EndpointConfigName=f"crash-{number}") is None:
                variant = {"VariantName": "All", "ModelName": "crash", "InstanceType": "ml.t2.medium", "InitialInstanceCount": 1, "InitialVariantWeight": 1}
                sagemaker.create_endpoint_config(EndpointConfigName=f"crash-{number}", ProductionVariants=[variant])
        # Configurations that an endpoint may come to have, by its name.
        self.wanted = getattr(self, "wanted", {})

    def describe(self, name):
        return absent(self.client("sagemaker").describe_endpoint, "ValidationException", EndpointName=name)

    def look(self, name):
        # An update or a deletion that was acknowledged takes effect later, so only whether it is there is known at once.
        there = self.describe(name)
        return "there" if there and there["EndpointStatus"] != "Deleting" else None

    def step(self):
        time.sleep(0.1)
        name, sagemaker = self.pick(), self.client("sagemaker")
        if name in self.doubt:
            self.check(name)
        there = self.calling(self.describe, name)
        status = there and there["EndpointStatus"]
        config = f"crash-{self.chance.choice((1, 2))}"
        if status is None and self.known.get(name) is None:
            self.wanted[name] = {config}
            self.change(name, "there", sagemaker.create_endpoint, EndpointName=name, EndpointConfigName=config)
            self.count_one("created")
        elif self.known.get(name) != "there":
            return
        elif status == "InService":
            self.settled(name, there)
            self.use(name, config)
        elif status == "Failed":
            self.remove(name)

    def settled(self, name, there):
        """What serves is what was asked for, or there is a reason why not."""
        self.count_one("in service")
        if there["EndpointConfigName"] not in self.wanted[name] and not there.get("FailureReason"):
            raise Broken(f"{name} was to serve {self.wanted[name]} and serves {there['EndpointConfigName']}")
        self.wanted[name] = {there["EndpointConfigName"]}

    def use(self, name, config):
        drawn = self.chance.random()
        if drawn < 0.2:
            self.remove(name)
        elif drawn < 0.5:
            self.wanted[name] = self.wanted[name] | {config}
            self.calling(self.client("sagemaker").update_endpoint, EndpointName=name, EndpointConfigName=config)
            self.wanted[name] = {config}
            self.acknowledged += 1
            self.count_one("updated")
        else:
            self.count += 1
            body = f"{name} {self.count}".encode()
            try:
                answer = self.calling(self.client("sagemaker-runtime").invoke_endpoint, EndpointName=name, Body=body, ContentType="text/csv")
            except botocore.exceptions.ClientError:
                # After a restart the instances come back a little later.
                return
            if self.calling(answer["Body"].read) != body:
                raise Broken(f"{name} answered another question")
            self.count_one("invoked")

    def remove(self, name):
        self.change(name, None, self.client("sagemaker").delete_endpoint, EndpointName=name)
        self.count_one("deleted")

    def drain(self, deadline):
        for name in self.known:
            while (there := self.describe(name)) and there["EndpointStatus"] not in ("InService", "Failed"):
                if time.monotonic() > deadline:
                    raise Broken(f"{name} is stuck in {there['EndpointStatus']}")
                time.sleep(0.2)
            if there and there["EndpointStatus"] == "Failed" and not there.get("FailureReason"):
                raise Broken(f"{name} failed without a reason")
            if there and there["EndpointStatus"] == "InService":
                self.settled(name, there)
        # Those that are there now, and those that were on their way out.
        for name in [name for name, thing in self.known.items() if thing]:
            self.remove(name)
        while any(self.describe(f"{self.name}-{number}") for number in range(self.things)):
            if time.monotonic() > deadline:
                raise Broken("an endpoint that was deleted is still there")
            time.sleep(0.2)


# Of the management account, and of a member account beside it.
WRITERS = [Objects, Uploads, Versions, Roles, Pipelines, Executions, Jobs, Endpoints]
MEMBER_WRITERS = [Objects, Pipelines, Executions, Jobs, Endpoints]

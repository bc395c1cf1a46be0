"""S3 with the clients that people use: boto3, its transfer manager, the AWS CLI, presigned URLs, plain HTTP."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
import urllib.request
import uuid
import zlib

import boto3.s3.transfer
import botocore.exceptions
import pytest
import requests

MIB = 1024 * 1024


def code(error):
    return error.value.response["Error"]["Code"]



def fails(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return code(error)


@pytest.fixture
def s3(instance):
    return instance.client("s3")


@pytest.fixture
def bucket(s3):
    name = f"journey-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


def user(instance, statement):
    """Keys of a new user with one policy statement."""
    iam = instance.client("iam")
    name = f"s3-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": statement}
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    keys = iam.create_access_key(UserName=name)["AccessKey"]
    session = boto3.Session(
        region_name="us-east-1", aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"]
    )
    return session.client("s3", endpoint_url=instance.url)


def test_a_bucket_and_an_object(s3, bucket):
    assert bucket in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    key = "a b/ä+%&?#.txt"
    put = s3.put_object(Bucket=bucket, Key=key, Body=b"hello", ContentType="text/plain", Metadata={"owner": "me"})
    assert put["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert put["ServerSideEncryption"] == "AES256"
    assert put["ChecksumCRC32"] == base64.b64encode(zlib.crc32(b"hello").to_bytes(4, "big")).decode()
    got = s3.get_object(Bucket=bucket, Key=key)
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"hello", "text/plain", {"owner": "me"})
    assert got["ChecksumCRC32"] == put["ChecksumCRC32"]
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == 5
    listed = s3.list_objects_v2(Bucket=bucket)
    assert [each["Key"] for each in listed["Contents"]] == [key]
    assert fails(s3.head_object, Bucket=bucket, Key="none") == "404"
    assert fails(s3.get_object, Bucket=bucket, Key="none") == "NoSuchKey"
    assert fails(s3.head_bucket, Bucket="nobody-has-this-bucket") == "404"
    assert fails(s3.list_objects_v2, Bucket="nobody-has-this-bucket") == "NoSuchBucket"
    assert fails(s3.delete_bucket, Bucket=bucket) == "BucketNotEmpty"
    s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_bucket(Bucket=bucket)
    assert fails(s3.head_bucket, Bucket=bucket) == "404"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_that_clients_compute(s3, bucket, algorithm):
    try:
        put = s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumAlgorithm=algorithm)
    except botocore.exceptions.MissingDependencyException:
        pytest.skip(f"this botocore cannot compute {algorithm}")
    member = f"Checksum{algorithm}"
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got[member] == put[member]
    assert got["Body"].read() == b"hello"


def test_wrong_checksums_store_nothing(s3, bucket):
    assert fails(s3.put_object, Bucket=bucket, Key="k", Body=b"hello", ChecksumCRC32="AAAAAA==") == "BadDigest"
    assert fails(s3.put_object, Bucket=bucket, Key="k", Body=b"hello", ContentMD5="nonsense") == "InvalidDigest"
    assert fails(s3.put_object, Bucket=bucket, Key="k", Body=b"hello", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==") == "BadDigest"
    assert fails(s3.head_object, Bucket=bucket, Key="k") == "404"


def test_transfers_in_parts(s3, bucket, tmp_path):
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(21 * MIB + 17))
    config = boto3.s3.transfer.TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB)
    s3.upload_file(str(source), bucket, "big", Config=config, ExtraArgs={"Metadata": {"m": "1"}})
    head = s3.head_object(Bucket=bucket, Key="big")
    assert head["ContentLength"] == 21 * MIB + 17 and head["ETag"].endswith('-3"') and head["Metadata"] == {"m": "1"}
    s3.download_file(bucket, "big", str(back), Config=config)
    assert back.read_bytes() == source.read_bytes()
    end = s3.get_object(Bucket=bucket, Key="big", Range="bytes=-20")
    assert end["Body"].read() == source.read_bytes()[-20:]
    assert end["ContentRange"] == f"bytes {21 * MIB - 3}-{21 * MIB + 16}/{21 * MIB + 17}"
    assert s3.head_object(Bucket=bucket, Key="big", PartNumber=3)["ContentLength"] == 5 * MIB + 17
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copied", Config=config)
    assert s3.get_object(Bucket=bucket, Key="copied")["Body"].read() == source.read_bytes()
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_parts_by_hand(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    first = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x" * (5 * MIB))["ETag"]
    second = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=2, Body=b"tail")["ETag"]
    assert [part["PartNumber"] for part in s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Parts"]] == [1, 2]

    def complete(*parts):
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        return s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": listed})

    for parts, wanted in [
        ([(2, second), (1, first)], "InvalidPartOrder"),
        ([(1, second)], "InvalidPart"),
        ([(3, second)], "InvalidPart"),
    ]:
        with pytest.raises(botocore.exceptions.ClientError) as error:
            complete(*parts)
        assert code(error) == wanted
    done = complete((1, first), (2, second))
    digest = hashlib.md5(bytes.fromhex(first.strip('"')) + bytes.fromhex(second.strip('"'))).hexdigest()
    assert done["ETag"] == f'"{digest}-2"'
    assert fails(s3.list_parts, Bucket=bucket, Key="k", UploadId=upload) == "NoSuchUpload"
    left = s3.create_multipart_upload(Bucket=bucket, Key="left")["UploadId"]
    s3.abort_multipart_upload(Bucket=bucket, Key="left", UploadId=left)
    assert fails(s3.abort_multipart_upload, Bucket=bucket, Key="left", UploadId=left) == "NoSuchUpload"


def test_conditional_requests(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    assert fails(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*") == "PreconditionFailed"
    assert fails(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=etag) == "304"
    assert fails(s3.get_object, Bucket=bucket, Key="k", IfMatch='"other"') == "PreconditionFailed"
    assert fails(s3.head_object, Bucket=bucket, Key="k", IfMatch='"other"') == "412"
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)
    assert fails(s3.get_object, Bucket=bucket, Key="k", Range="bytes=5-") == "InvalidRange"


def test_listing(s3, bucket):
    keys = sorted(f"{letter}/{number:02}" for letter in "abc" for number in range(15)) + ["top"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
    assert [each["Key"] for page in pages for each in page["Contents"]] == keys
    pages = s3.get_paginator("list_objects").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
    assert [each["Key"] for page in pages for each in page["Contents"]] == keys
    rolled = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [each["Prefix"] for each in rolled["CommonPrefixes"]] == ["a/", "b/", "c/"]
    assert [each["Key"] for each in rolled["Contents"]] == ["top"]
    assert s3.list_objects_v2(Bucket=bucket, StartAfter="c/14")["KeyCount"] == 1
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert len(gone["Deleted"]) == len(keys) and "Errors" not in gone
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_versions(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"2")["VersionId"]
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=first)["Body"].read() == b"1"
    marker = s3.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"]
    assert fails(s3.get_object, Bucket=bucket, Key="k") == "NoSuchKey"
    listed = s3.list_object_versions(Bucket=bucket)
    assert [each["VersionId"] for each in listed["Versions"]] == [second, first]
    assert listed["DeleteMarkers"][0]["IsLatest"]
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"


def test_copies_tags_and_encryption(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a b", Body=b"v", Tagging="team=a&x=1%202", ServerSideEncryption="aws:kms")
    assert s3.head_object(Bucket=bucket, Key="a b")["ServerSideEncryption"] == "aws:kms"
    s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "a b"})
    tags = s3.get_object_tagging(Bucket=bucket, Key="c")["TagSet"]
    assert tags == [{"Key": "team", "Value": "a"}, {"Key": "x", "Value": "1 2"}]
    s3.put_object_tagging(Bucket=bucket, Key="c", Tagging={"TagSet": [{"Key": "team", "Value": "b"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="c")["TagSet"][0]["Value"] == "b"
    assert s3.get_object(Bucket=bucket, Key="c")["Body"].read() == b"v"
    attributes = s3.get_object_attributes(Bucket=bucket, Key="c", ObjectAttributes=["ETag", "ObjectSize", "Checksum"])
    assert attributes["ObjectSize"] == 1 and "ChecksumCRC32" in attributes["Checksum"]
    assert s3.get_object_acl(Bucket=bucket, Key="c")["Grants"][0]["Permission"] == "FULL_CONTROL"


def test_presigned_urls(instance, bucket):
    # boto3 presigns for us-east-1 with signature version 2 where it is not told otherwise.
    s3 = instance.client("s3", signature_version="s3v4")
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a/b c", "ContentType": "text/x"})
    assert requests.put(put, data=b"presigned", headers={"content-type": "text/x"}).status_code == 200
    get = s3.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "a/b c", "ResponseContentDisposition": "attachment; filename=x"}
    )
    answer = requests.get(get)
    assert (answer.status_code, answer.content) == (200, b"presigned")
    assert answer.headers["content-disposition"] == "attachment; filename=x"
    assert answer.headers["content-type"] == "text/x"
    assert requests.get(get.replace("b%20c", "b%20d")).status_code == 403
    anonymous = requests.get(get.split("?")[0])
    assert anonymous.status_code == 403 and "<Code>AccessDenied</Code>" in anonymous.text


def test_presigned_urls_of_a_client_without_configuration(instance, bucket):
    s3 = instance.client("s3")
    params = {"Bucket": bucket, "Key": "a/b c&d"}
    put = s3.generate_presigned_url("put_object", Params={**params, "ContentType": "text/x", "Metadata": {"m": "1"}})
    assert "AWSAccessKeyId=" in put and "X-Amz-Signature" not in put
    assert requests.put(put, data=b"two", headers={"content-type": "text/x"}).status_code == 200
    head = s3.head_object(**params)
    assert (head["ContentType"], head["Metadata"]) == ("text/x", {"m": "1"}), "what the URL says counts"
    assert requests.put(put, data=b"two", headers={"content-type": "text/y"}).status_code in (400, 403)
    get = s3.generate_presigned_url("get_object", Params={**params, "ResponseContentType": "text/z"})
    answer = requests.get(get)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"two", "text/z")
    listed = requests.get(s3.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket, "Prefix": "a/"}))
    assert listed.status_code == 200, listed.url + listed.text
    assert "<KeyCount>1</KeyCount>" in listed.text
    for changed in (get.replace("b%20c", "b%20x"), get.replace("text%2Fz", "text%2Fq"), get + "&versionId=null", get + "&attributes"):
        refused = requests.get(changed)
        assert refused.status_code == 403 and refused.content != b"two", changed
    assert "<Code>SignatureDoesNotMatch</Code>" in requests.get(get + "&acl").text
    assert requests.put(get, data=b"x").status_code == 403
    mixed = requests.get(get + "&X-Amz-Signature=" + "0" * 64)
    assert mixed.status_code == 400
    expired = requests.get(s3.generate_presigned_url("get_object", Params=params, ExpiresIn=-5))
    assert expired.status_code == 403 and "<Message>Request has expired</Message>" in expired.text


def test_presigned_urls_of_the_command_line(instance, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    command = [os.path.join(os.path.dirname(sys.executable), "aws"), "s3", "presign", f"s3://{bucket}/k"]
    url = subprocess.run(command, env=instance.environment(), check=True, capture_output=True, text=True).stdout.strip()
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"hello"


@pytest.mark.parametrize("version", [None, "s3v4"])
def test_presigned_forms(instance, bucket, version):
    s3 = instance.client("s3", **({"signature_version": version} if version else {}))
    fields = {"acl": "bucket-owner-full-control", "Content-Type": "text/x", "success_action_status": "201", "x-amz-meta-m": "1"}
    conditions = [{name: value} for name, value in fields.items()] + [["content-length-range", 2, 3 * MIB]]
    post = s3.generate_presigned_post(bucket, "up/${filename}", Fields=fields, Conditions=conditions)
    assert ("x-amz-signature" in post["fields"]) == (version is not None)

    def send(data, name="ä b.bin", changed=None):
        return requests.post(post["url"], data=post["fields"] | (changed or {}), files={"file": (name, data)})

    data = os.urandom(2 * MIB + 3)
    answer = send(data, "a b.bin")
    assert answer.status_code == 201 and "<Key>up/a b.bin</Key>" in answer.text, answer.text
    got = s3.get_object(Bucket=bucket, Key="up/a b.bin")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (data, "text/x", {"m": "1"})
    assert "<Code>EntityTooLarge</Code>" in send(data + data).text
    assert "<Code>EntityTooSmall</Code>" in send(b"x").text
    for changed in ({"acl": "public-read"}, {"key": "elsewhere"}, {"x-amz-storage-class": "STANDARD"}, {"x-amz-meta-m": "2"}):
        refused = send(b"hello", changed=changed)
        assert refused.status_code == 403 and "Invalid according to Policy" in refused.text, refused.text
    policy = json.loads(base64.b64decode(post["fields"]["policy"]))
    policy["expiration"] = "2099-01-01T00:00:00Z"
    forged = send(b"hello", changed={"policy": base64.b64encode(json.dumps(policy).encode()).decode()})
    assert forged.status_code == 403 and "<Code>SignatureDoesNotMatch</Code>" in forged.text
    late = s3.generate_presigned_post(bucket, "late", ExpiresIn=-5)
    refused = requests.post(late["url"], data=late["fields"], files={"file": b"hello"})
    assert refused.status_code == 403 and "Policy expired" in refused.text
    assert requests.post(f"{instance.url}/{bucket}", data={"key": "k"}, files={"file": b"hello"}).status_code == 403
    assert requests.post(post["url"], data=post["fields"]).status_code in (400, 501)
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["up/a b.bin"]
    plain = s3.generate_presigned_post(bucket, "plain")
    assert requests.post(plain["url"], data=plain["fields"], files={"file": b"hello"}).status_code == 204
    onward = {"success_action_redirect": f"{instance.url}/done"}
    plain = s3.generate_presigned_post(bucket, "onward", Fields=onward, Conditions=[onward])
    answer = requests.post(plain["url"], data=plain["fields"], files={"file": b""}, allow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"].startswith(f"{instance.url}/done?bucket={bucket}&key=onward&etag=")


def test_a_version_needs_its_own_action_only(instance, s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    arn = f"arn:aws:s3:::{bucket}/*"
    reader = user(instance, {"Effect": "Allow", "Action": "s3:GetObjectVersion", "Resource": arn})
    assert reader.get_object(Bucket=bucket, Key="k", VersionId=version)["Body"].read() == b"1"
    assert fails(reader.get_object, Bucket=bucket, Key="k") == "AccessDenied"
    assert fails(reader.delete_object, Bucket=bucket, Key="k", VersionId=version) == "AccessDenied"


def test_settings(s3, bucket):
    assert fails(s3.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"
    assert fails(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"
    assert fails(s3.get_bucket_tagging, Bucket=bucket) == "NoSuchTagSet"
    assert fails(s3.get_bucket_website, Bucket=bucket) == "NoSuchWebsiteConfiguration"
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "a", "Value": "b"}]
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rules)
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"v")["ServerSideEncryption"] == "aws:kms"
    cors = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=cors)
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == cors["CORSRules"]
    lifecycle = {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3}}]}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=lifecycle)
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == lifecycle["Rules"]
    block = dict.fromkeys(["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"], True)
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == block


def test_bucket_policy(instance, s3, bucket):
    s3.put_object(Bucket=bucket, Key="in/a", Body=b"v")
    objects = f"arn:aws:s3:::{bucket}/*"
    nobody = user(instance, {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"})
    assert fails(nobody.get_object, Bucket=bucket, Key="in/a") == "AccessDenied"
    arn = instance.client("iam").get_user(UserName=instance.client("iam").list_users()["Users"][-1]["UserName"])["User"]["Arn"]
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": [instance.account]}, "Action": ["s3:GetObject"], "Resource": objects}],
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    stored = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert stored["Statement"][0]["Principal"] == {"AWS": f"arn:aws:iam::{instance.account}:root"}
    assert stored["Statement"][0]["Action"] == "s3:GetObject"
    assert not s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"]
    policy["Statement"][0]["Principal"] = {"AWS": f"{arn}-gone"}
    with pytest.raises(botocore.exceptions.ClientError) as error:
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert code(error) == "MalformedPolicy" and "Invalid principal in policy" in str(error.value)
    policy["Statement"][0]["Principal"] = "*"
    assert fails(s3.put_bucket_policy, Bucket=bucket, Policy=json.dumps(policy)) == "AccessDenied"
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert nobody.get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"v"
    assert requests.get(f"{instance.url}/{bucket}/in/a").content == b"v"
    s3.delete_bucket_policy(Bucket=bucket)
    assert fails(nobody.get_object, Bucket=bucket, Key="in/a") == "AccessDenied"


def test_denials_tell_no_more_than_they_may(instance, s3, bucket):
    reader = user(instance, {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"})
    assert fails(reader.head_object, Bucket=bucket, Key="none") == "403"
    with pytest.raises(botocore.exceptions.ClientError) as error:
        reader.put_object(Bucket=bucket, Key="k", Body=b"v")
    assert code(error) == "AccessDenied"
    assert f'is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::{bucket}/k"' in str(error.value)
    assert fails(reader.list_buckets) == "AccessDenied"


def test_regions(instance):
    name = f"journey-{uuid.uuid4().hex[:12]}"
    there = instance.client("s3", region="eu-central-1")
    assert fails(there.create_bucket, Bucket=name) == "IllegalLocationConstraintException"
    there.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    here = instance.client("s3")
    assert here.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-central-1"
    # Clients of another region are sent to the right one, and follow.
    here.put_object(Bucket=name, Key="k", Body=b"v")
    assert here.head_object(Bucket=name, Key="k")["ContentLength"] == 1
    there.delete_object(Bucket=name, Key="k")
    there.delete_bucket(Bucket=name)


def test_the_default_bucket_of_a_session(instance):
    # What `sagemaker.Session.default_bucket` does, twice.
    s3 = instance.session().resource("s3", endpoint_url=instance.url)
    name = f"sagemaker-us-east-1-{instance.account}"
    for _ in range(2):
        if s3.Bucket(name).creation_date is None:
            with pytest.raises(botocore.exceptions.ClientError) as error:
                s3.meta.client.head_bucket(Bucket=name, ExpectedBucketOwner=instance.account)
            assert code(error) == "404" and error.value.response["Error"]["Message"] == "Not Found"
            s3.create_bucket(Bucket=name)
        s3.meta.client.head_bucket(Bucket=name, ExpectedBucketOwner=instance.account)
    assert fails(s3.meta.client.head_bucket, Bucket=name, ExpectedBucketOwner="999999999999") == "403"


def test_the_command_line(instance, tmp_path):
    bucket = f"cli-{uuid.uuid4().hex[:12]}"
    instance.cli("s3", "mb", f"s3://{bucket}")
    tree = tmp_path / "tree" / "datasets"
    tree.mkdir(parents=True)
    (tree / "a.csv").write_text("1,2\n")
    (tree.parent / "top.bin").write_bytes(os.urandom(9 * MIB))
    instance.cli("s3", "cp", str(tree.parent), f"s3://{bucket}/", "--recursive")
    listed = instance.cli("s3", "ls", f"s3://{bucket}").stdout
    assert "PRE datasets/" in listed and "top.bin" in listed
    assert "Completed" not in instance.cli("s3", "sync", str(tree.parent), f"s3://{bucket}/").stdout
    instance.cli("s3", "cp", f"s3://{bucket}/top.bin", f"s3://{bucket}/copy.bin")
    instance.cli("s3", "cp", f"s3://{bucket}/copy.bin", str(tmp_path / "back.bin"))
    assert (tmp_path / "back.bin").read_bytes() == (tree.parent / "top.bin").read_bytes()
    tag = "TagSet=[{Key=servicecatalog:provisioning,Value=true}]"
    instance.cli("s3api", "put-object-tagging", "--bucket", bucket, "--key", "top.bin", "--tagging", tag)
    assert "servicecatalog:provisioning" in instance.cli("s3api", "get-object-tagging", "--bucket", bucket, "--key", "top.bin").stdout
    instance.cli("s3", "rm", f"s3://{bucket}", "--recursive", "--quiet")
    instance.cli("s3", "rb", f"s3://{bucket}")
    missing = instance.cli("s3", "ls", f"s3://{bucket}", check=False)
    assert missing.returncode != 0 and "NoSuchBucket" in missing.stderr


def test_virtual_hosts_under_tls(instance):
    # Under TLS clients send bodies as aws-chunked with a trailing checksum, to a host named after the bucket.
    program = """
import boto3, botocore.config, io, uuid
config = botocore.config.Config(s3={"addressing_style": "virtual"})
s3 = boto3.client("s3", endpoint_url="https://s3.us-east-1.amazonaws.com", config=config)
bucket = f"virtual-{uuid.uuid4().hex[:12]}"
s3.create_bucket(Bucket=bucket)
hosts = set()
s3.meta.events.register("before-send.s3", lambda request, **_: hosts.add(request.url.split("/")[2]))
put = s3.put_object(Bucket=bucket, Key="a/b c", Body=io.BytesIO(b"hello"))
assert put["ChecksumCRC32"] == "NhCmhg==", put
s3.upload_fileobj(io.BytesIO(b"x" * (9 << 20)), bucket, "big")
assert s3.head_object(Bucket=bucket, Key="big")["ContentLength"] == 9 << 20
assert s3.get_object(Bucket=bucket, Key="a/b c")["Body"].read() == b"hello"
assert hosts == {f"{bucket}.s3.us-east-1.amazonaws.com"}, hosts
"""
    environment = instance.environment()
    environment.pop("AWS_ENDPOINT_URL")
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_acknowledged_is_lost(own_instance):
    s3 = own_instance.client("s3")
    s3.create_bucket(Bucket="lasting")
    body = os.urandom(3 * MIB)
    s3.put_object(Bucket="lasting", Key="k", Body=body)
    own_instance.kill()
    own_instance.restart()
    s3 = own_instance.client("s3")
    assert s3.get_object(Bucket="lasting", Key="k")["Body"].read() == body
    # What lies on disk is not what was sent.
    piece = body[1000:1064]
    files = [path for path in own_instance.data.rglob("*") if path.is_file() and path.stat().st_size > MIB]
    assert files and not any(piece in path.read_bytes() for path in files)


def test_many_writers_of_one_key(s3, bucket):
    won = []

    def write(number):
        try:
            s3.put_object(Bucket=bucket, Key="k", Body=str(number).encode(), IfNoneMatch="*")
            won.append(number)
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == str(won[0]).encode()

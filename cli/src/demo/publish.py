"""Repacks a trained booster for the shared multi-model endpoint and uploads it with the role's credentials."""

import pathlib
import sys
import tarfile

import boto3
import xgboost

bucket, key, features = sys.argv[1:4]
base = pathlib.Path("/opt/ml/processing/model")
with tarfile.open(base / "model.tar.gz") as archive:
    archive.extractall(base)
booster = xgboost.Booster()
booster.load_model(base / "xgboost-model")
version = base / "repository" / "fil" / "1"
version.mkdir(parents=True)
booster.save_model(version / "xgboost.json")
(version.parent / "config.pbtxt").write_text(
    f"""backend: "fil"
max_batch_size: 1024
input [ {{ name: "input__0" data_type: TYPE_FP32 dims: [ {features} ] }} ]
output [ {{ name: "output__0" data_type: TYPE_FP32 dims: [ 1 ] }} ]
instance_group [ {{ kind: KIND_CPU }} ]
parameters [
  {{ key: "model_type" value: {{ string_value: "xgboost_json" }} }},
  {{ key: "output_class" value: {{ string_value: "false" }} }}
]
"""
)
with tarfile.open(base / "published.tar.gz", "w:gz") as archive:
    archive.add(version.parent, arcname="fil")
boto3.client("s3").upload_file(str(base / "published.tar.gz"), bucket, key)
print(f"published s3://{bucket}/{key}")

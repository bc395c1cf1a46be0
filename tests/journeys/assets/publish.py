"""Processing script: repacks a trained model for Triton and puts it where the tenant's tier belongs.

Tenants of the tier Gold have a prefix of their own, all others share one endpoint and its prefix.
"""

import argparse
import pathlib
import pickle
import tarfile

import boto3

MODEL = pathlib.Path("/opt/ml/processing/model")
CONFIG = """\
name: "fil"
backend: "fil"
max_batch_size: 64
input [ {{ name: "input__0" data_type: TYPE_FP32 dims: [ {features} ] }} ]
output [ {{ name: "output__0" data_type: TYPE_FP32 dims: [ 1 ] }} ]
instance_group [ {{ kind: KIND_CPU }} ]
parameters [
  {{ key: "model_type" value: {{ string_value: "xgboost_json" }} }},
  {{ key: "output_class" value: {{ string_value: "false" }} }}
]
"""


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("bucket", "tenant", "app", "tier", "version"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--features", type=int, default=6)
    return parser.parse_args()


def main():
    given = arguments()
    with tarfile.open(MODEL / "model.tar.gz") as archive:
        archive.extractall(MODEL)
    with open(MODEL / "xgboost-model", "rb") as file:
        model = pickle.load(file)
    home = pathlib.Path("/tmp/fil")
    (home / "1").mkdir(parents=True, exist_ok=True)
    model.save_model(str(home / "1" / "xgboost.json"))
    (home / "config.pbtxt").write_text(CONFIG.format(features=given.features))
    name = f"{given.tenant}-{given.app}.model.{given.version}.tar.gz"
    with tarfile.open(f"/tmp/{name}", "w:gz") as archive:
        archive.add(home, arcname="fil")
    prefix = f"{given.tenant}/model_artifacts" if given.tier == "Gold" else "model_artifacts_mme"
    print("publishing as", boto3.client("sts").get_caller_identity()["Arn"])
    boto3.client("s3").upload_file(f"/tmp/{name}", given.bucket, f"{prefix}/{name}")
    print(f"published s3://{given.bucket}/{prefix}/{name}")


if __name__ == "__main__":
    main()

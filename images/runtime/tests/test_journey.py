"""From training on two hosts to a multi-model Triton endpoint, in the images' real environments.

Needs `TENANTRY_TEST_ENVS`, a directory with the environments `xgb10` (sagemaker-xgboost:1.0-1), `xgb30`
(3.*), `skl` (sagemaker-scikit-learn:0.20.0) and `triton`, and a package index for one `pip install`.
"""

import json
import os
import random
import struct
import unittest

import support

XGB10, XGB30, SKL, TRITON = (support.image_python(name) for name in ("xgb10", "xgb30", "skl", "triton"))
CSV = {"Content-Type": "text/csv"}

CONFIG = """
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

POSTPROCESS = """
import os, pickle, sys
assert os.system("pip install -q xgboost==1.1.0") == 0
import xgboost
assert xgboost.__version__ == "1.1.0", xgboost.__version__
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
booster = pickle.load(open(sys.argv[1], "rb"))
booster.save_model(sys.argv[2])
"""

SKLEARN = """
import argparse, os, joblib, pandas
from sklearn.linear_model import LinearRegression
def model_fn(directory):
    return joblib.load(os.path.join(directory, "model.joblib"))
if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fit-intercept", type=int)
    given = parser.parse_args()
    data = pandas.read_csv(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "a.csv"), header=None).values
    model = LinearRegression(fit_intercept=bool(given.fit_intercept)).fit(data[:, 1:], data[:, 0])
    joblib.dump(model, os.path.join(os.environ["SM_MODEL_DIR"], "model.joblib"))
"""


def rows(count, seed=1):
    """CSV lines of a linear price of six features, label first."""
    source = random.Random(seed)
    lines = []
    for _ in range(count):
        features = [source.uniform(0, 10) for _ in range(6)]
        label = 50_000 + sum((i + 1) * 1000 * x for i, x in enumerate(features))
        lines.append(",".join(f"{value:.4f}" for value in [label, *features]))
    return "\n".join(lines) + "\n"


def training_job(current, hosts, shards):
    """A job directory of one host; `shards` maps file names under train/ to contents."""
    job = support.Job()
    job.hosts(current, hosts)
    job.config("hyperparameters", {"objective": "reg:squarederror", "num_round": "15", "max_depth": "4", "eta": "0.3"})
    job.config("inputdataconfig", {name: {"ContentType": "text/csv"} for name in ("train", "validation")})
    for name, text in shards.items():
        job.file(f"input/data/train/{name}", text)
    job.file("input/data/validation/val.csv", rows(50, seed=2))
    return job


def finish(jobs, python):
    """Runs one training process per host; returns [(exit code, output)]."""
    running = [job.start("tenantry_runtime.xgboost_train", python=python, PYTHONWARNINGS="ignore") for job in jobs]
    outputs = [process.communicate(timeout=240)[0] for process in running]
    return [(process.returncode, output) for process, output in zip(running, outputs)]


@unittest.skipUnless(XGB10, "TENANTRY_TEST_ENVS has no xgb10")
class Training(unittest.TestCase):
    def jobs(self, hosts, *shards):
        made = [training_job(host, hosts, shard) for host, shard in zip(hosts, shards)]
        for job in made:
            self.addCleanup(job.close)
        return made

    def models(self, jobs):
        return [(job.root / "model" / "xgboost-model").exists() for job in jobs]

    def test_only_the_first_host_saves_and_metrics_can_be_scraped(self):
        jobs = self.jobs(["127.0.3.1", "127.0.3.2"], {"d/a.csv": rows(200), "_SUCCESS": "x"}, {"b.csv": rows(150, 3)})
        ended = finish(jobs, XGB10)
        self.assertEqual([code for code, _ in ended], [0, 0], ended)
        self.assertEqual(self.models(jobs), [True, False])
        self.assertRegex(ended[0][1], r"\[14\]#011train-rmse:[0-9.]+#011validation-rmse:[0-9.]+")
        self.assertIn("Train matrix has 200 rows", ended[0][1])

    def test_a_host_without_rows_stands_aside(self):
        hosts = ["127.0.3.3", "127.0.3.4", "127.0.3.5"]
        jobs = self.jobs(hosts, {}, {"a.csv": rows(100)}, {"a.csv": rows(100, 4)})
        ended = finish(jobs, XGB10)
        self.assertEqual([code for code, _ in ended], [0, 0, 0], ended)
        self.assertEqual(self.models(jobs), [False, True, False])

    def test_one_hosts_bad_file_ends_all(self):
        jobs = self.jobs(["127.0.3.6", "127.0.3.7"], {"a.csv": rows(50)}, {"a.csv": "price,rooms\n1,2\n"})
        ended = finish(jobs, XGB10)
        self.assertEqual([code for code, _ in ended], [1, 1], ended)
        for job in jobs:
            self.assertIn("127.0.3.7: First line 'price,rooms...' of file 'a.csv' is not 'CSV' format", job.failure())

    def test_no_rows_at_all_is_the_users_error(self):
        job, = self.jobs(["127.0.3.8"], {})
        self.assertEqual(finish([job], XGB10)[0][0], 1)
        self.assertIn("UserError: No data in training channel path", job.failure())

    @unittest.skipUnless(XGB30, "TENANTRY_TEST_ENVS has no xgb30")
    def test_a_later_release_trains_together_too(self):
        jobs = self.jobs(["127.0.3.9", "127.0.3.10"], {"a.csv": rows(100)}, {"b.csv": rows(100, 3)})
        ended = finish(jobs, XGB30)
        self.assertEqual([code for code, _ in ended], [0, 0], ended)
        self.assertEqual(sorted(self.models(jobs)), [False, True])

    def test_checkpoints_resume(self):
        job, = self.jobs(["127.0.3.11"], {"a.csv": rows(100)})
        job.config("checkpointconfig", {"LocalPath": str(job.root / "checkpoints")})
        self.assertEqual(finish([job], XGB10)[0][0], 0)
        names = sorted(os.listdir(job.root / "checkpoints"))
        self.assertEqual(names, sorted(f"xgboost-checkpoint.{n}" for n in range(10, 15)))
        given = {"objective": "reg:squarederror", "num_round": "17", "max_depth": "4"}
        job.config("hyperparameters", given)
        code, output = finish([job], XGB10)[0]
        self.assertEqual(code, 0, output)
        self.assertIn("resuming from iteration 15", output)
        self.assertEqual(output.count("#011train-rmse"), 2)


@unittest.skipUnless(XGB10 and SKL and TRITON, "TENANTRY_TEST_ENVS lacks xgb10, skl or triton")
class FromTrainingToTriton(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.trained = training_job("algo-1", ["algo-1"], {"a.csv": rows(300)})
        cls.addClassCleanup(cls.trained.close)
        (code, output), = finish([cls.trained], XGB10)
        assert code == 0, output
        cls.row = rows(1, seed=9).strip().split(",")[1:]
        with support.serving(cls.trained, "tenantry_runtime.serve", "xgboost", python=XGB10) as port:
            cls.served = support.call(port, "POST", "/invocations", ",".join(cls.row), CSV)
            cls.wrong = [support.call(port, "POST", "/invocations", body, {"Content-Type": kind})[0]
                         for body, kind in (("1,2", "text/csv"), ("a,b", "text/csv"), ("{}", "image/png"),
                                            ("", "text/csv"))]
        cls.expected = float(cls.served[1])
        cls.script = cls.trained.file("code/postprocess.py", POSTPROCESS)
        cls.fil = cls.trained.root / "models" / "hash1" / "fil"
        (cls.fil / "1").mkdir(parents=True)
        (cls.fil / "config.pbtxt").write_text(CONFIG)
        before = os.listdir(os.path.join(os.path.dirname(SKL), "../lib/python3.11/site-packages"))
        code, output = cls.trained.run(
            "tenantry_runtime.launch", "python3", str(cls.script), str(cls.trained.root / "model/xgboost-model"),
            str(cls.fil / "1" / "xgboost.json"), python=SKL, PYTHONWARNINGS="ignore")
        assert code == 0, output
        cls.untouched = before == os.listdir(os.path.join(os.path.dirname(SKL), "../lib/python3.11/site-packages"))

    def request(self, **changes):
        tensor = {"name": "input__0", "shape": [1, 6], "datatype": "FP32", "data": [float(x) for x in self.row]}
        return {"inputs": [{**tensor, **changes}]}

    def test_the_csv_endpoint(self):
        status, body, headers = self.served
        self.assertEqual((status, headers["Content-Type"]), (200, "text/csv"))
        self.assertGreater(self.expected, 50_000)
        self.assertEqual(self.wrong, [400, 415, 415, 204])

    def test_pip_install_leaves_the_image_alone(self):
        self.assertTrue(self.untouched)

    def test_one_model_per_tenant(self):
        with support.serving(self.trained, "tenantry_runtime.triton", python=TRITON, SAGEMAKER_MULTI_MODEL="true",
                             SAGEMAKER_TRITON_DEFAULT_MODEL_NAME="fil") as port:
            load = {"model_name": "hash1", "url": str(self.fil.parent)}
            self.assertEqual(support.call(port, "POST", "/models/hash1/invoke", self.request())[0], 404)
            self.assertEqual(support.call(port, "POST", "/models", load)[0], 200)
            octets = {"Content-Type": "application/octet-stream"}
            status, body, headers = support.call(port, "POST", "/models/hash1/invoke", self.request(), octets)
            answer = json.loads(body)
            self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
            output, = answer["outputs"]
            self.assertEqual((output["name"], output["datatype"], output["shape"]), ("output__0", "FP32", [1]))
            self.assertAlmostEqual(output["data"][0], self.expected, delta=0.01)
            self.refused(port)
            self.binary(port)

    def refused(self, port):
        cases = {"unexpected shape for input": self.request(shape=[1, 5]),
                 "batch-size must be <= 32": self.request(shape=[33, 6]),
                 "data-type is 'FP64'": self.request(datatype="FP64"),
                 "unexpected inference input 'x'": self.request(name="x"),
                 "Unable to parse 'data'": self.request(data=["a"] * 6),
                 "does not match true shape": self.request(data=[1.0]),
                 "Unable to parse 'shape'": self.request(shape=[-1, 6]),
                 "must not be empty": self.request(shape=[0, 6], data=[]),
                 "Unable to parse 'parameters'": self.request(parameters=[1]),
                 "expected 1 inputs but got 0": {"inputs": []},
                 "Unable to parse 'inputs'": {"inputs": 5},
                 "failed to parse the request JSON": "{",
                 "unexpected inference output 'y'": {**self.request(), "outputs": [{"name": "y"}]}}
        for message, body in cases.items():
            status, answer, _ = support.call(port, "POST", "/models/hash1/invoke", body)
            self.assertEqual(status, 400, message)
            self.assertIn(message, json.loads(answer)["error"])

    def binary(self, port):
        raw = struct.pack("<6f", *map(float, self.row))
        wanted = {"name": "input__0", "shape": [1, 6], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
        header = json.dumps({"id": "7", "inputs": [wanted], "parameters": {"binary_data_output": True}}).encode()
        kind = "application/vnd.sagemaker-triton.binary+json;json-header-size="
        status, body, headers = support.call(port, "POST", "/models/hash1/invoke", header + raw,
                                             {"Content-Type": kind + str(len(header))})
        self.assertEqual(status, 200, body)
        size = int(headers["Content-Type"].removeprefix(kind))
        self.assertEqual(json.loads(body[:size])["id"], "7")
        self.assertAlmostEqual(struct.unpack("<f", body[size:])[0], self.expected, delta=0.01)
        for length, data in ((len(header), raw[:-1]), (len(header), raw + b"x"), (10 ** 6, raw), (0, raw)):
            status, _, _ = support.call(port, "POST", "/models/hash1/invoke", header + data,
                                        {"Content-Type": kind + str(length)})
            self.assertEqual(status, 400)

    def test_models_that_cannot_be_loaded_say_why(self):
        cases = {"backend 'python' of model 'fil' is not available": CONFIG.replace('"fil"', '"python"', 1),
                 "has 6 features but its input has dims [5]": CONFIG.replace("[ 6 ]", "[ 5 ]"),
                 "model_type 'treelite_checkpoint'": CONFIG.replace("xgboost_json", "treelite_checkpoint"),
                 "no file xgboost.model": CONFIG.replace("xgboost_json", "xgboost"),
                 "failed to read text proto": "name:"}
        with support.serving(self.trained, "tenantry_runtime.triton", python=TRITON,
                             SAGEMAKER_MULTI_MODEL="true") as port:
            for number, (message, text) in enumerate(cases.items()):
                directory = self.trained.root / "models" / f"bad{number}" / "fil"
                (directory / "1").mkdir(parents=True)
                (directory / "1" / "xgboost.json").write_bytes((self.fil / "1" / "xgboost.json").read_bytes())
                (directory / "config.pbtxt").write_text(text)
                status, body, _ = support.call(port, "POST", "/models",
                                               {"model_name": "m", "url": str(directory.parent)})
                self.assertEqual(status, 400)
                self.assertIn(message, json.loads(body)["error"])

    def test_a_single_model_speaks_v2(self):
        job = support.Job()
        self.addCleanup(job.close)
        job.file("model/fil/config.pbtxt", CONFIG)
        job.file("model/fil/1/xgboost.json", (self.fil / "1" / "xgboost.json").read_bytes())
        with support.serving(job, "tenantry_runtime.triton", python=TRITON) as port:
            status, body, _ = support.call(port, "POST", "/invocations", self.request())
            self.assertAlmostEqual(json.loads(body)["outputs"][0]["data"][0], self.expected, delta=0.01)
            self.assertEqual(json.loads(support.call(port, "GET", "/v2/models/fil")[1])["inputs"][0]["shape"], [-1, 6])
            self.assertEqual(support.call(port, "POST", "/v2/models/fil/infer", self.request())[0], 200)
            self.assertEqual(support.call(port, "POST", "/v2/models/other/infer", self.request())[0], 404)


@unittest.skipUnless(SKL, "TENANTRY_TEST_ENVS has no skl")
class ScikitLearn(unittest.TestCase):
    def test_a_script_trains_and_serves(self):
        job = support.Job()
        self.addCleanup(job.close)
        job.file("input/data/train/a.csv", rows(50))
        job.file("src/train.py", SKLEARN)
        job.config("inputdataconfig", {"train": {}})
        job.config("hyperparameters", {"sagemaker_program": "\"train.py\"", "fit-intercept": "1",
                                       "sagemaker_submit_directory": json.dumps(str(job.root / "src"))})
        code, output = job.run("tenantry_runtime.training_toolkit", python=SKL)
        self.assertEqual(code, 0, output)
        with support.serving(job, "tenantry_runtime.serve", "sklearn", python=SKL, SAGEMAKER_PROGRAM="train.py",
                             SAGEMAKER_SUBMIT_DIRECTORY=str(job.root / "src")) as port:
            status, body, _ = support.call(port, "POST", "/invocations", [[1, 1, 1, 1, 1, 1]],
                                           {"Content-Type": "application/json"})
        self.assertEqual(status, 200, body)
        self.assertAlmostEqual(json.loads(body)[0], 71_000, delta=1)


if __name__ == "__main__":
    unittest.main()

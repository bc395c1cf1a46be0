"""User modules and the DJL engine, served as the platform does, with models that need no library."""

import json
import unittest

import support

SKLEARN = """
import json, os
def model_fn(model_dir):
    return int(open(os.path.join(model_dir, "factor")).read())
def input_fn(body, content_type):
    if content_type != "text/csv":
        raise ValueError("only text/csv")
    return [float(x) for x in body.split(",")]
def predict_fn(data, model):
    return [x * model for x in data]
def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""

DJL = """
from djl_python import Input, Output
loaded = []
def handle(inputs: Input):
    if inputs.is_empty():
        loaded.append(inputs.get_properties()["tensor_parallel_degree"])
        return None
    data = inputs.get_as_json()
    if "fail" in data:
        return Output().error("asked to fail", 422)
    return Output().add_as_json({"outputs": [loaded, data["inputs"]]})
"""


class UserModule(unittest.TestCase):
    def setUp(self):
        self.job = support.Job()
        self.addCleanup(self.job.close)

    def test_the_four_functions(self):
        self.job.file("model/factor", "3")
        self.job.file("model/code/serve.py", SKLEARN)
        with support.serving(self.job, "tenantry_runtime.serve", "sklearn", SAGEMAKER_PROGRAM="serve.py") as port:
            status, body, headers = support.call(port, "POST", "/invocations", "1,2", {"Content-Type": "text/csv"})
            self.assertEqual((status, json.loads(body)), (200, [3.0, 6.0]))
            self.assertEqual(headers["Content-Type"], "application/json")
            status, body, _ = support.call(port, "POST", "/invocations", "1", {"Content-Type": "text/plain"})
            self.assertEqual((status, json.loads(body)), (500, {"error": "ValueError: only text/csv"}))
            self.assertEqual(support.call(port, "GET", "/invocations")[0], 405)
            self.assertEqual(support.call(port, "GET", "/nothing")[0], 404)

    def test_a_missing_module_ends_the_server_with_a_reason(self):
        code, output = self.job.run("tenantry_runtime.serve", "sklearn", SAGEMAKER_PROGRAM="absent.py")
        self.assertEqual(code, 1)
        self.assertIn("SAGEMAKER_PROGRAM `absent.py` is in none of", output)

    def test_several_models_keep_their_own_modules(self):
        for name, factor in (("a", "2"), ("b", "5")):
            self.job.file(f"models/{name}/factor", factor)
            self.job.file(f"models/{name}/code/inference.py", SKLEARN)
        with support.serving(self.job, "tenantry_runtime.serve", "pytorch", SAGEMAKER_MULTI_MODEL="true") as port:
            for name in "ab":
                load = {"model_name": name, "url": str(self.job.root / "models" / name)}
                self.assertEqual(support.call(port, "POST", "/models", load)[0], 200)
            answers = [json.loads(support.call(port, "POST", f"/models/{name}/invoke", "1",
                                               {"Content-Type": "text/csv"})[1]) for name in "ab"]
            self.assertEqual(answers, [[2.0], [5.0]])


class Djl(unittest.TestCase):
    def test_a_handler_with_properties(self):
        job = support.Job()
        self.addCleanup(job.close)
        job.file("model/lmi/serving.properties", "engine=Python\n# note\noption.tensor_parallel_degree=2\n")
        job.file("model/lmi/model.py", DJL)
        headers = {"Content-Type": "application/json"}
        with support.serving(job, "tenantry_runtime.serve", "djl") as port:
            status, body, answered = support.call(port, "POST", "/invocations", {"inputs": ["hi"]}, headers)
            self.assertEqual((status, json.loads(body)), (200, {"outputs": [["2"], ["hi"]]}))
            self.assertEqual(answered["Content-Type"], "application/json")
            status, body, _ = support.call(port, "POST", "/invocations", {"fail": 1}, headers)
            self.assertEqual((status, json.loads(body)), (422, {"error": "asked to fail"}))
            self.assertEqual(support.call(port, "POST", "/invocations", "no json", headers)[0], 500)

    def test_a_handler_written_for_mpi_is_the_only_process(self):
        job = support.Job()
        self.addCleanup(job.close)
        job.file("model/serving.properties", "engine=MPI\noption.tensor_parallel_degree=2\n")
        job.file("model/model.py", DJL.replace('inputs.get_properties()["tensor_parallel_degree"]',
                                               '[__import__("os").environ[n] for n in ("LOCAL_RANK", "WORLD_SIZE")]'))
        with support.serving(job, "tenantry_runtime.serve", "djl") as port:
            _, body, _ = support.call(port, "POST", "/invocations", {"inputs": 1}, {"Content-Type": "application/json"})
            self.assertEqual(json.loads(body), {"outputs": [[["0", "1"]], 1]})


if __name__ == "__main__":
    unittest.main()

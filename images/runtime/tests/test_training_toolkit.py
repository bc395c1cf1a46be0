"""Script mode, run as the platform runs it, with scripts that need only the standard library."""

import io
import json
import tarfile
import unittest

import support

DUMP = """
import json, os, sys
out = {"argv": sys.argv[1:], "cwd": os.getcwd(), "prefix": sys.prefix,
       "env": {k: v for k, v in os.environ.items() if k.startswith("SM_")}}
json.dump(out, open(os.path.join(os.environ["SM_MODEL_DIR"], "dump.json"), "w"))
"""


class ScriptMode(unittest.TestCase):
    def setUp(self):
        self.job = support.Job()
        self.addCleanup(self.job.close)

    def script(self, text, name="train.py", program=None, **hyperparameters):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        path = self.job.file("sourcedir.tar.gz", buffer.getvalue())
        given = {"sagemaker_program": program or name, "sagemaker_submit_directory": str(path),
                 "sagemaker_region": "us-east-1", "sagemaker_job_name": "j-1", **hyperparameters}
        self.job.config("hyperparameters", {name: json.dumps(value) for name, value in given.items()})
        return self.job.run("tenantry_runtime.training_toolkit")

    def test_a_script_sees_arguments_and_variables(self):
        self.job.hosts("algo-2", ["algo-1", "algo-2"])
        self.job.config("inputdataconfig", {"train": {"ContentType": "text/csv"}, "my-data": {}})
        code, output = self.script(DUMP, epochs=3, name_="a b", flag=True, k=1, nested={"a": 1})
        self.assertEqual(code, 0, output)
        dump = json.loads((self.job.root / "model" / "dump.json").read_text())
        self.assertEqual(dump["argv"], ["--epochs", "3", "--flag", "True", "-k", "1", "--name_", "a b",
                                        "--nested", "a=1"])
        env = dump["env"]
        self.assertEqual(env["SM_CURRENT_HOST"], "algo-2")
        self.assertEqual(json.loads(env["SM_HOSTS"]), ["algo-1", "algo-2"])
        self.assertEqual(env["SM_CHANNEL_TRAIN"], str(self.job.root / "input" / "data" / "train"))
        self.assertIn("SM_CHANNEL_MY_DATA", env)
        self.assertEqual(env["SM_MODEL_DIR"], str(self.job.root / "model"))
        self.assertEqual((env["SM_HP_EPOCHS"], env["SM_HP_FLAG"], env["SM_NUM_GPUS"]), ("3", "true", "0"))
        self.assertEqual(json.loads(env["SM_HPS"])["nested"], {"a": 1})
        self.assertNotIn("sagemaker_program", json.loads(env["SM_HPS"]))
        self.assertEqual(json.loads(env["SM_TRAINING_ENV"])["job_name"], "j-1")
        self.assertEqual(dump["cwd"], str(self.job.root / "code"))
        self.assertEqual(dump["prefix"], str(self.job.root / ".python"))
        self.assertTrue((self.job.root / "output" / "success").exists())
        self.assertIsNone(self.job.failure())

    def test_settings_of_launchers_are_not_arguments(self):
        settings = {"sagemaker_mpi_enabled": True, "sagemaker_mpi_num_of_processes_per_host": 8,
                    "sagemaker_mpi_custom_mpi_options": "-x A=1", "sagemaker_distributed_dataparallel_enabled": True,
                    "sagemaker_torch_distributed_enabled": True, "sagemaker_instance_type": "ml.p4d.24xlarge"}
        code, output = self.script(DUMP, mp_parameters={"ddp": True, "partitions": 2}, **settings)
        self.assertEqual(code, 0, output)
        dump = json.loads((self.job.root / "model" / "dump.json").read_text())
        self.assertEqual(dump["argv"], ["--mp_parameters", "ddp=True,partitions=2"])
        given = json.loads(dump["env"]["SM_FRAMEWORK_PARAMS"])
        self.assertTrue(given["sagemaker_mpi_enabled"] and given["sagemaker_distributed_dataparallel_enabled"])

    def test_a_missing_library_shows_as_the_scripts_own_error(self):
        code, _ = self.script("import smdistributed.modelparallel", mp_parameters={"partitions": 1})
        self.assertEqual(code, 1)
        failure = self.job.failure()
        self.assertTrue(failure.startswith("ExecuteUserScriptError:\nExitCode 1\nErrorMessage \""), failure)
        self.assertIn("ModuleNotFoundError: No module named 'smdistributed'", failure)
        self.assertIn("train.py --mp_parameters partitions=1", failure)
        self.assertFalse((self.job.root / "output" / "success").exists())

    def test_the_scripts_exit_code_is_the_jobs(self):
        code, _ = self.script("import sys; sys.stderr.write('half done\\n'); sys.exit(7)")
        self.assertEqual(code, 7)
        self.assertIn("ErrorMessage \"half done\"", self.job.failure())
        code, _ = self.script("import os; os.kill(os.getpid(), 9)")
        self.assertEqual(code, 137)

    def test_a_shell_script_runs(self):
        code, output = self.script("echo \"$@\" > \"$SM_MODEL_DIR/said\"", name="run.sh", epochs=2)
        self.assertEqual(code, 0, output)
        self.assertEqual((self.job.root / "model" / "said").read_text(), "--epochs 2\n")

    def test_a_program_that_is_not_there_is_named(self):
        for program in ("other.py", "../outside.py", "/etc/passwd"):
            code, _ = self.script("pass", program=program)
            self.assertEqual(code, 1)
            self.assertIn(f"sagemaker_program `{program}` is not in the sources", self.job.failure())

    def test_without_a_program_the_job_fails(self):
        self.job.config("hyperparameters", {"epochs": "1"})
        code, _ = self.job.run("tenantry_runtime.training_toolkit")
        self.assertEqual(code, 1)
        self.assertIn("sagemaker_program", self.job.failure())


class Launch(unittest.TestCase):
    def test_a_processing_command_runs_in_the_jobs_layer(self):
        job = support.Job()
        self.addCleanup(job.close)
        text = "import sys, os, shutil; print(sys.prefix, shutil.which('pip'), sys.argv[1])"
        code, output = job.run("tenantry_runtime.launch", "python3", "-c", text, "argument")
        self.assertEqual(code, 0, output)
        layer = job.root / ".python"
        self.assertEqual(output.split(), [str(layer), str(layer / "bin" / "pip"), "argument"])

    def test_an_unknown_command_is_named(self):
        job = support.Job()
        self.addCleanup(job.close)
        code, output = job.run("tenantry_runtime.launch", "no-such-program")
        self.assertEqual(code, 127)
        self.assertIn("`no-such-program`", output)


if __name__ == "__main__":
    unittest.main()

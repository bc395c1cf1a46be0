"""Hyperparameters of the built-in algorithm, and the job's end when they are wrong."""

import unittest

import support
from tenantry_runtime import xgboost_hyperparameters
from tenantry_runtime.failure import UserError


class Validate(unittest.TestCase):
    def test_strings_become_values(self):
        given = {"num_round": "10", "eta": "0.2", "objective": "reg:squarederror", "eval_metric": "rmse,mae",
                 "learning_rate": "0.3", "max_depth": "\"5\"", "monotone_constraints": "(1,-1)", "tree_method": "hist"}
        typed = xgboost_hyperparameters.validate(given)
        self.assertEqual(typed["num_round"], 10)
        self.assertEqual(typed["eta"], 0.3)
        self.assertEqual(typed["max_depth"], 5)
        self.assertEqual(typed["eval_metric"], ["rmse", "mae"])
        self.assertEqual(typed["monotone_constraints"], (1, -1))

    def test_each_wrong_one_is_named(self):
        cases = {
            "Missing required hyperparameter: num_round": {"num_round": None},
            "Extraneous hyperparameter found: depth": {"depth": "3"},
            r"Hyperparameter eta: 2.0 is not in \[0, 1\]": {"eta": "2"},
            "Hyperparameter max_depth: could not parse value": {"max_depth": "deep"},
            "Hyperparameter eta: nan is not in": {"eta": "nan"},
            "Hyperparameter objective: reg:foo is not in": {"objective": "reg:foo"},
            "Hyperparameter eval_metric:": {"eval_metric": "rmse,foo"},
            "Require input for parameter 'num_class'": {"objective": "multi:softmax"},
            "CPU only": {"tree_method": "gpu_hist"},
            "_tuning_objective_metric": {"_tuning_objective_metric": "test:rmse"},
            "interaction_constraints": {"interaction_constraints": "[[1"},
        }
        for message, change in cases.items():
            given = {"num_round": "10", **change}
            given = {name: value for name, value in given.items() if value is not None}
            with self.subTest(message), self.assertRaisesRegex(UserError, message):
                xgboost_hyperparameters.validate(given)


class Ending(unittest.TestCase):
    def test_the_failure_file_says_what_to_change(self):
        job = support.Job()
        self.addCleanup(job.close)
        job.config("hyperparameters", {"num_round": "0"})
        code, _ = job.run("tenantry_runtime.xgboost_train")
        self.assertEqual(code, 1)
        self.assertEqual(job.failure(), "UserError: Hyperparameter num_round: 0 is not in [1, +inf)")

    def test_a_config_file_that_is_no_json_is_named(self):
        job = support.Job()
        self.addCleanup(job.close)
        job.file("input/config/hyperparameters.json", "{")
        code, output = job.run("tenantry_runtime.training_toolkit")
        self.assertEqual(code, 1)
        self.assertIn("hyperparameters.json is not valid JSON", job.failure(), output)


if __name__ == "__main__":
    unittest.main()

"""The image files: every command names a module that exists, every version is complete."""

import importlib.util
import tomllib
import unittest

import support

FILES = sorted(support.RUNTIME.parent.glob("*.toml"))


class Images(unittest.TestCase):
    def test_every_file_is_complete(self):
        self.assertGreater(len(FILES), 5)
        seen = set()
        for path in FILES:
            with self.subTest(path.name):
                image = tomllib.loads(path.read_text())
                self.assertTrue(image["repository"] and not seen & set(image["repository"]))
                seen |= set(image["repository"])
                for command in (image["entry"][name] for name in ("train", "serve")):
                    if command:
                        self.assertEqual(command[:2], ["python", "-m"])
                        self.assertIsNotNone(importlib.util.find_spec(command[2]))
                for version in image["version"]:
                    self.assertTrue(version["tags"] and version["python"])
                    self.assertIn("pip", version["packages"])

    def test_the_images_of_the_journeys_are_there(self):
        import fnmatch

        images = {name: image for path in FILES for image in [tomllib.loads(path.read_text())]
                  for name in image["repository"]}
        for repository, tag, package in (
                ("sagemaker-xgboost", "1.0-1-cpu-py3", "xgboost==1.0.2"),
                ("sagemaker-scikit-learn", "0.20.0-cpu-py3", "numpy==1.23.5"),
                ("sagemaker-scikit-learn", "0.23-1-cpu-py3", "scikit-learn==1.1.3"),
                ("pytorch-training", "1.13.1-gpu-py39", "torch==1.13.1"),
                ("pytorch-training", "1.13.1-gpu-py39", "datasets==2.12.0"),
                ("huggingface-pytorch-training", "1.13.1-transformers4.26.0-gpu-py39-cu117-ubuntu20.04", "pyarrow==12.0.1"),
                ("huggingface-pytorch-inference", "1.13.1-transformers4.26.0-cpu-py39-ubuntu20.04", "transformers==4.26.1"),
                ("djl-inference", "0.20.0-deepspeed0.7.5-cu116", "transformers==4.26.1"),
                ("sagemaker-tritonserver", "23.03-py3", "xgboost-cpu==2.1.4")):
            version = next(v for v in images[repository]["version"] if any(fnmatch.fnmatch(tag, t) for t in v["tags"]))
            self.assertIn(package, version["packages"])


if __name__ == "__main__":
    unittest.main()

"""config.pbtxt: what is read, and what is refused before a model is loaded."""

import tempfile
import unittest
from pathlib import Path

import support  # noqa: F401  puts the package on the path
from tenantry_runtime import pbtxt, triton_config

FIL = """
name: "fil"  # a comment
backend: "fil"
max_batch_size: 8
input [ { name: "input__0" data_type: TYPE_FP32, dims: [ 6 ] } ]
output { name: "output__0"; data_type: TYPE_FP32 dims: 1 }
instance_group [{ kind: KIND_AUTO }]
parameters [
  { key: "model_type" value: { string_value: "xgboost" "_json" } },
  { key: "threshold" value < string_value: '0.5' > }
]
dynamic_batching { max_queue_delay_microseconds: 100 }
"""


class Text(unittest.TestCase):
    def test_every_form_of_value(self):
        parsed = pbtxt.parse('a: 1 a: [2, -3] b: 1.5e3 c: true d: "x\\n\\"\\x41" e { f: NAME } g: [] h: .5f i: 0x10')
        self.assertEqual(parsed, {"a": [1, 2, -3], "b": [1500.0], "c": [True], "d": ['x\n"A'],
                                  "e": [{"f": ["NAME"]}], "g": [], "h": [0.5], "i": [16]})
        self.assertIsInstance(parsed["e"][0]["f"][0], pbtxt.Enum)

    def test_broken_texts_are_refused_with_their_line(self):
        for text in ("a", "a:", "a {", "a: [1 2]", "a: }", "}", 'a: "x', "a: {\n]", "1: 2", "a 5", "\x00",
                     "a {" * 40 + "}" * 40):
            with self.subTest(text[:20]), self.assertRaisesRegex(pbtxt.ParseError, r"^\d+: "):
                pbtxt.parse(text)
        with self.assertRaises(pbtxt.ParseError):
            pbtxt.parse(" " * (pbtxt.MAX_CHARS + 1))


class Configuration(unittest.TestCase):
    def setUp(self):
        base = tempfile.TemporaryDirectory()
        self.addCleanup(base.cleanup)
        self.directory = Path(base.name) / "fil"
        (self.directory / "1").mkdir(parents=True)

    def read(self, text):
        (self.directory / "config.pbtxt").write_text(text)
        return triton_config.read(self.directory)

    def test_a_fil_model(self):
        (self.directory / "3").mkdir()
        config = self.read(FIL)
        self.assertEqual((config.name, config.backend, config.max_batch_size, config.version), ("fil", "fil", 8, "3"))
        self.assertEqual(config.parameters, {"model_type": "xgboost_json", "threshold": "0.5"})
        self.assertEqual(config.shape(config.inputs[0]), [-1, 6])
        self.assertEqual(self.read(FIL + "version_policy { specific { versions: [1] } }").version, "1")

    def test_what_triton_refuses_is_refused(self):
        cases = {"no field named \"nane\"": 'nane: "x"', "must specify 'platform' or 'backend'": 'name: "fil"',
                 "specified multiple times": FIL + 'name: "again"', "non-negative": FIL.replace(": 8", ": -8"),
                 "dimension must be": FIL.replace("[ 6 ]", "[ 0 ]"), "data_type": FIL.replace("TYPE_FP32,", "TYPE_X,"),
                 "Invalid value for field \"max_batch_size\"": FIL.replace(": 8", ': "8"'),
                 "failed to read text proto": "name: ", "plain file name": FIL + 'default_model_filename: "../x"',
                 "at least one version": FIL + "version_policy { specific { versions: [9] } }"}
        for message, text in cases.items():
            with self.subTest(message), self.assertRaisesRegex(triton_config.ConfigError, message):
                self.read(text)


if __name__ == "__main__":
    unittest.main()

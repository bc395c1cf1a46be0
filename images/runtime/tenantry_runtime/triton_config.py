"""A model's config.pbtxt, checked: what Triton would refuse to load is refused here.

Follows "Model Configuration" of the Triton Inference Server user guide.
"""

from dataclasses import dataclass
from pathlib import Path

from . import pbtxt

DATA_TYPES = {"TYPE_BOOL": "BOOL", "TYPE_UINT8": "UINT8", "TYPE_UINT16": "UINT16", "TYPE_UINT32": "UINT32",
              "TYPE_UINT64": "UINT64", "TYPE_INT8": "INT8", "TYPE_INT16": "INT16", "TYPE_INT32": "INT32",
              "TYPE_INT64": "INT64", "TYPE_FP16": "FP16", "TYPE_FP32": "FP32", "TYPE_FP64": "FP64",
              "TYPE_STRING": "BYTES"}
_FIELDS = {"name", "platform", "backend", "runtime", "version_policy", "max_batch_size", "input", "output",
           "batch_input", "batch_output", "optimization", "dynamic_batching", "sequence_batching",
           "ensemble_scheduling", "instance_group", "default_model_filename", "cc_model_filenames", "metric_tags",
           "parameters", "model_warmup", "model_operations", "model_transaction_policy", "model_repository_agents",
           "response_cache", "model_metrics"}
_PLATFORM_BACKENDS = {"onnxruntime_onnx": "onnxruntime", "pytorch_libtorch": "pytorch", "tensorrt_plan": "tensorrt",
                      "tensorflow_savedmodel": "tensorflow", "tensorflow_graphdef": "tensorflow",
                      "ensemble": "ensemble"}


class ConfigError(ValueError):
    """The model cannot be loaded as it is configured."""


@dataclass
class Tensor:
    """One input or output: its name, v2 data type and dimensions (-1 is any), without the batch."""

    name: str
    datatype: str
    dims: list


@dataclass
class Config:
    """What the server needs of a model's configuration."""

    name: str
    backend: str
    max_batch_size: int
    inputs: list
    outputs: list
    parameters: dict
    default_model_filename: str
    version: str

    def shape(self, tensor):
        """The full shape of a tensor: the batch, when there is one, is -1."""
        return ([-1] if self.max_batch_size > 0 else []) + tensor.dims


def _one(fields, name, kind, default):
    values = fields.get(name, [])
    if len(values) > 1:
        raise ConfigError(f'Non-repeated field "{name}" is specified multiple times.')
    value = values[0] if values else default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise ConfigError(f'Invalid value for field "{name}".')
    return value


def _tensor(fields, model, what):
    if not isinstance(fields, dict):
        raise ConfigError(f'Invalid value for field "{what}".')
    name = _one(fields, "name", str, "")
    if not name:
        raise ConfigError(f"model {what} must specify 'name'")
    datatype = DATA_TYPES.get(_one(fields, "data_type", str, ""))
    if datatype is None:
        raise ConfigError(f"model {what} '{name}' of '{model}' must specify a 'data_type' such as TYPE_FP32")
    dims = fields.get("dims", [])
    if not dims:
        raise ConfigError(f"model {what} must specify 'dims'")
    if not all(isinstance(size, int) and (size == -1 or size > 0) for size in dims):
        raise ConfigError(f"model {what} dimension must be integer >= 1, or -1 to indicate a variable-size dimension")
    return Tensor(name, datatype, dims)


def _parameters(fields):
    values = {}
    for entry in fields.get("parameters", []):
        if not isinstance(entry, dict):
            raise ConfigError('Invalid value for field "parameters".')
        key, value = _one(entry, "key", str, ""), _one(entry, "value", dict, {})
        values[key] = _one(value, "string_value", str, "")
    return values


def _version(directory, fields, name):
    found = sorted((int(path.name) for path in directory.iterdir() if path.is_dir() and path.name.isdigit()
                    and path.name.isascii() and path.name[0] != "0"), reverse=True)
    policy = _one(fields, "version_policy", dict, {})
    if "specific" in policy:
        wanted = _one(policy, "specific", dict, {}).get("versions", [])
        found = [version for version in found if version in wanted]
    if not found:
        raise ConfigError(f"at least one version must be available under the version policy of model '{name}'")
    return str(found[0])


def read(directory):
    """The configuration of a model directory (`config.pbtxt`, `1/…`); raises ConfigError."""
    directory = Path(directory)
    path = directory / "config.pbtxt"
    if not path.is_file():
        raise ConfigError(f"failed to load '{directory.name}': no config.pbtxt in the model's directory")
    try:
        with open(path, encoding="utf-8") as file:
            fields = pbtxt.parse(file.read(pbtxt.MAX_CHARS + 1))
    except (pbtxt.ParseError, UnicodeDecodeError) as error:
        raise ConfigError(f"failed to read text proto from {path}: {error}") from error
    unknown = sorted(set(fields) - _FIELDS)
    if unknown:
        raise ConfigError(f'failed to read text proto from {path}: Message type "inference.ModelConfig" has no field '
                          f'named "{unknown[0]}".')
    name = _one(fields, "name", str, "") or directory.name
    backend = _one(fields, "backend", str, "") or _PLATFORM_BACKENDS.get(_one(fields, "platform", str, ""), "")
    if not backend:
        raise ConfigError(f"must specify 'platform' or 'backend' for '{name}'")
    batch = _one(fields, "max_batch_size", int, 0)
    if batch < 0:
        raise ConfigError(f"'max_batch_size' must be non-negative value for '{name}'")
    inputs = [_tensor(value, name, "input") for value in fields.get("input", [])]
    outputs = [_tensor(value, name, "output") for value in fields.get("output", [])]
    filename = _one(fields, "default_model_filename", str, "")
    if "/" in filename or filename == "..":
        raise ConfigError(f"'default_model_filename' of '{name}' must be a plain file name")
    return Config(name, backend, batch, inputs, outputs, _parameters(fields), filename,
                  _version(directory, fields, name))

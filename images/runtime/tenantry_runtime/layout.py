"""Where things lie under /opt/ml, and how the files the platform writes there are read.

`TENANTRY_OPT_ML` moves the root, which tests use; everything else asks this module and never spells a
path. Follows "How Amazon SageMaker provides training information" in the SageMaker developer guide.
"""

import json
import os
from pathlib import Path

from .failure import UserError


def root():
    """The directory that is /opt/ml in a container."""
    return Path(os.environ.get("TENANTRY_OPT_ML", "/opt/ml"))


def model_dir():
    """Training writes the model here and serving reads it from here."""
    return Path(os.environ.get("SM_MODEL_DIR") or root() / "model")


def output_dir():
    """Holds `failure`, `success` and the directory `data` that becomes output.tar.gz."""
    return root() / "output"


def code_dir():
    """Where a script-mode job's sources are unpacked."""
    return root() / "code"


def channel_dir(name):
    """The directory of one input channel; it may not exist."""
    return root() / "input" / "data" / name


def _config(name, default):
    path = root() / "input" / "config" / name
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error


def raw_hyperparameters():
    """The hyperparameters exactly as given: a mapping of strings."""
    values = _config("hyperparameters.json", {})
    if not isinstance(values, dict):
        raise UserError("hyperparameters.json must hold an object")
    return values


def decoded(value):
    """The value a client meant: the SDK writes JSON inside the string, other clients write it bare."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def hyperparameters():
    """Hyperparameters with each value decoded from the JSON the SDK puts inside the string."""
    return {name: decoded(value) for name, value in raw_hyperparameters().items()}


def input_data_config():
    """Channel name to its ContentType, TrainingInputMode and so on."""
    return _config("inputdataconfig.json", {})


def resource_config():
    """`current_host`, `hosts` (sorted as given) and `network_interface_name`."""
    config = _config("resourceconfig.json", {})
    config.setdefault("current_host", "algo-1")
    config.setdefault("hosts", [config["current_host"]])
    config.setdefault("network_interface_name", "lo")
    return config


def checkpoint_config():
    """`LocalPath` of the checkpoints, when the job has any."""
    return _config("checkpointconfig.json", {})

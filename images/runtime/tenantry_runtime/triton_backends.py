"""The backends of our Triton-compatible server: FIL (tree models, on CPU) and ONNX Runtime.

FIL is answered by the XGBoost or LightGBM library itself. Every other backend is refused by name when a
model is loaded, rather than at its first request.
"""

import os
import threading

from .triton_config import ConfigError
from .web import HttpError


def _parameter_bool(config, name):
    value = config.parameters.get(name, "false").strip().lower()
    if value not in ("true", "false"):
        raise ConfigError(f"parameter '{name}' of model '{config.name}' must be 'true' or 'false'")
    return value == "true"


class Fil:
    """The FIL backend: one FP32 input of rows, one FP32 output of predictions, labels or probabilities."""

    def __init__(self, config, directory):
        kind = config.parameters.get("model_type", "xgboost")
        files = {"xgboost": "xgboost.model", "xgboost_json": "xgboost.json", "lightgbm": "model.txt"}
        if kind not in files:
            raise ConfigError(f"model_type '{kind}' of model '{config.name}' is not available here, use one of "
                              f"{', '.join(files)}")
        for tensors, what in ((config.inputs, "input"), (config.outputs, "output")):
            if len(tensors) != 1 or tensors[0].datatype != "FP32" or len(tensors[0].dims) != 1:
                raise ConfigError(f"model '{config.name}' must have exactly one {what}, of TYPE_FP32 and one dimension")
        self.config, self.lock = config, threading.Lock()
        self.classes = _parameter_bool(config, "output_class")
        self.probabilities = _parameter_bool(config, "predict_proba")
        try:
            self.threshold = float(config.parameters.get("threshold", "0.5"))
        except ValueError:
            raise ConfigError(f"parameter 'threshold' of model '{config.name}' must be a number") from None
        path = os.path.join(directory, config.version, config.default_model_filename or files[kind])
        if not os.path.isfile(path):
            raise ConfigError(f"failed to load model '{config.name}': no file {os.path.basename(path)} in version "
                              f"{config.version}")
        self.features, self.predict = (_lightgbm if kind == "lightgbm" else _xgboost)(path, config.name)
        wanted = config.inputs[0].dims[0]
        if wanted not in (-1, self.features):
            raise ConfigError(f"model '{config.name}' has {self.features} features but its input has dims [{wanted}]")

    def execute(self, inputs):
        """Predictions by output name."""
        import numpy

        array = inputs[self.config.inputs[0].name]
        rows = array.reshape(-1, array.shape[-1])
        with self.lock:
            values = numpy.asarray(self.predict(rows, self.probabilities or self.classes), dtype="<f4")
        if self.probabilities:
            if values.ndim == 1:
                values = numpy.stack([1 - values, values], axis=1)
        elif self.classes:
            values = values.argmax(axis=1) if values.ndim == 2 else values > self.threshold
            values = values.astype("<f4")
        return {self.config.outputs[0].name: values}


def _xgboost(path, name):
    """`(number of features, function of rows and whether class scores are wanted)`."""
    import json

    import numpy
    import xgboost

    booster = xgboost.Booster({"nthread": os.cpu_count() or 1})
    try:
        booster.load_model(path)
        learner = json.loads(booster.save_config())["learner"]
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise ConfigError(f"failed to load model '{name}': {str(error)[:1000]}") from error
    labels_only = learner["objective"]["name"] == "multi:softmax"

    def predict(rows, scores):
        matrix = xgboost.DMatrix(numpy.ascontiguousarray(rows))
        if scores and labels_only:
            margin = booster.predict(matrix, output_margin=True, validate_features=False)
            powers = numpy.exp(margin - margin.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)
        return booster.predict(matrix, validate_features=False)

    return int(learner["learner_model_param"]["num_feature"]), predict


def _lightgbm(path, name):
    try:
        import lightgbm
    except ImportError:
        raise ConfigError(f"model '{name}' is a LightGBM model and this image has no lightgbm") from None
    try:
        booster = lightgbm.Booster(model_file=path)
    except lightgbm.basic.LightGBMError as error:
        raise ConfigError(f"failed to load model '{name}': {error}") from error
    return booster.num_feature(), lambda rows, scores: booster.predict(rows)


class Onnx:
    """The ONNX Runtime backend on CPU; input and output names are the model's own."""

    def __init__(self, config, directory):
        try:
            import onnxruntime
        except ImportError:
            raise ConfigError(f"backend 'onnxruntime' of model '{config.name}' needs onnxruntime, which this image "
                              "does not have") from None
        path = os.path.join(directory, config.version, config.default_model_filename or "model.onnx")
        if not os.path.isfile(path):
            raise ConfigError(f"failed to load model '{config.name}': no file {os.path.basename(path)} in version "
                              f"{config.version}")
        try:
            self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ConfigError(f"failed to load model '{config.name}': {str(error)[:1000]}") from error
        for tensors, known, what in ((config.inputs, self.session.get_inputs(), "input"),
                                     (config.outputs, self.session.get_outputs(), "output")):
            missing = {tensor.name for tensor in tensors} - {value.name for value in known}
            if missing:
                raise ConfigError(f"unexpected inference {what} '{sorted(missing)[0]}', allowed {what}s are: "
                                  f"{', '.join(value.name for value in known)}")
        self.outputs = [tensor.name for tensor in config.outputs]

    def execute(self, inputs):
        """Results by output name."""
        try:
            return dict(zip(self.outputs, self.session.run(self.outputs, inputs)))
        except Exception as error:
            raise HttpError(500, f"onnx runtime error: {str(error)[:1000]}") from error


_BACKENDS = {"fil": Fil, "onnxruntime": Onnx}


def make(config, directory):
    """The loaded model of a configuration; raises ConfigError."""
    if config.backend not in _BACKENDS:
        raise ConfigError(f"backend '{config.backend}' of model '{config.name}' is not available here, available "
                          f"backends are: {', '.join(sorted(_BACKENDS))}")
    return _BACKENDS[config.backend](config, directory)

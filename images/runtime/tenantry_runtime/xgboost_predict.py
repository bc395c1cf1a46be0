"""Serves the built-in XGBoost algorithm's model: text in, matrix, prediction, text out.

Up to 1.0-1 the image answered one line of comma separated values whatever was asked for; later images
answer one value per line, or JSON on request. Both are kept. Follows "Common data formats for inference"
in the SageMaker developer guide.
"""

import csv
import json
import os
import pickle
import threading

from .web import HttpError
from .xgboost_data import media_type

ACCEPTED = ["application/json", "application/jsonlines", "text/csv"]


def load_booster(path):
    """A Booster from a pickle or from the library's own formats; raises ValueError naming both failures."""
    import xgboost

    try:
        with open(path, "rb") as file:
            booster = pickle.load(file)
        if hasattr(booster, "get_booster"):
            booster = booster.get_booster()
        if not isinstance(booster, xgboost.Booster):
            raise TypeError(f"it holds a {type(booster).__name__}")
    except Exception as pickled:
        try:
            booster = xgboost.Booster()
            booster.load_model(path)
        except Exception as native:
            raise ValueError(f"Model {path} cannot be loaded:\nPickle load error={pickled}\n"
                             f"XGB load model error={str(native)[:500]}") from native
    booster.set_param({"nthread": 1})
    return booster


def _width(booster):
    """Number of features, 0 when the library does not tell (0.90 with a model in its own format)."""
    if hasattr(booster, "save_config"):
        return int(json.loads(booster.save_config())["learner"]["learner_model_param"]["num_feature"])
    return len(booster.feature_names or [])


def _csv(text):
    import numpy
    import xgboost

    lines = text.split("\n")
    try:
        delimiter = csv.Sniffer().sniff(lines[0][:512], delimiters=",;\t| ").delimiter
    except csv.Error:
        delimiter = ","
    rows = [[cell.strip() or "nan" for cell in line.strip().split(delimiter)] for line in lines]
    return xgboost.DMatrix(numpy.array(rows).astype(float))


def _libsvm(text, width):
    import numpy
    import xgboost
    from scipy import sparse

    data, columns, starts = [], [], [0]
    for line in text.split("\n"):
        for item in line.split():
            index, separator, value = item.partition(":")
            if separator and index != "qid":
                columns.append(int(index))
                data.append(float(value))
        starts.append(len(data))
    width = max(width, max(columns, default=0) + 1)
    matrix = sparse.csr_matrix((data, columns, starts), shape=(len(starts) - 1, width), dtype=numpy.float32)
    return xgboost.DMatrix(matrix)


def _json(text, width):
    """`{"instances": [{"features": […]}]}`, `{"instances": [[…]]}` or a plain list of rows."""
    import numpy
    import xgboost

    value = json.loads(text)
    rows = value["instances"] if isinstance(value, dict) else value
    rows = [row["features"] if isinstance(row, dict) else row for row in rows]
    array = numpy.array(rows, dtype=float)
    return xgboost.DMatrix(array.reshape(1, -1) if array.ndim == 1 else array)


class Model:
    """One loaded model directory; `predict` may be called from several threads."""

    def __init__(self, directory):
        import xgboost

        names = sorted(name for name in os.listdir(directory)
                       if name[0] != "." and os.path.isfile(os.path.join(directory, name)))
        if "xgboost-model" in names:
            names = ["xgboost-model"]
        if not names:
            raise ValueError(f"the model directory {directory} holds no file, expected `xgboost-model`")
        self.booster = load_booster(os.path.join(directory, names[0]))
        self.version = tuple(int(part) for part in xgboost.__version__.split(".")[:2])
        self.lock = threading.Lock()
        self.width = _width(self.booster)

    def _matrix(self, body, content_type):
        name, _ = media_type(content_type or "text/csv")
        try:
            text = body.strip().decode("utf-8")
            if name in ("text/csv", "csv"):
                return _csv(text)
            if name in ("text/libsvm", "text/x-libsvm", "libsvm"):
                return _libsvm(text, self.width)
            if name == "application/json":
                return _json(text, self.width)
        except HttpError:
            raise
        except Exception as error:
            raise HttpError(415, f"Loading {name} data failed with Exception, please ensure data is in {name} format:"
                                 f"\n {type(error).__name__}\n {str(error)[:500]}") from error
        raise HttpError(415, f"Content-type {content_type} is not supported.")

    def _predict(self, matrix):
        if self.width and matrix.num_col() != self.width:
            raise HttpError(400, f"Unable to evaluate payload provided: Feature size of inference data "
                                 f"{matrix.num_col()} is not consistent with feature size of trained model "
                                 f"{self.width}.")
        options = {"validate_features": False}
        best = getattr(self.booster, "best_iteration", None) if self.booster.attr("best_iteration") else None
        if best is not None:
            if self.version < (1, 4):
                options["ntree_limit"] = self.booster.best_ntree_limit
            else:
                options["iteration_range"] = (0, int(best) + 1)
        try:
            with self.lock:
                return self.booster.predict(matrix, **options)
        except Exception as error:
            raise HttpError(400, f"Unable to evaluate payload provided: {str(error)[:1000]}") from error

    def invoke(self, body, content_type, accept):
        """`(body, content type)` of the answer; raises HttpError for a request that cannot be answered."""
        if not body:
            return b"", None
        values = self._predict(self._matrix(body, content_type)).tolist()
        if os.environ.get("SAGEMAKER_BATCH"):
            return ("\n".join(map(str, values)) + "\n").encode(), "text/csv"
        if self.version < (1, 1):
            return ",".join(map(str, values)).encode(), "text/csv"
        name = media_type(accept)[0].lower() if accept else ""
        if name in ("", "*/*"):
            name = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv")
        if name not in ACCEPTED:
            raise HttpError(406, f"Accept type {name} is not supported. Please use supported accept types: {ACCEPTED}.")
        if name == "application/json":
            return json.dumps({"predictions": [{"score": value} for value in values]}).encode(), name
        if name == "application/jsonlines":
            return "".join(json.dumps({"score": value}) + "\n" for value in values).encode(), name
        lines = (",".join(map(str, value)) if isinstance(value, list) else str(value) for value in values)
        return ("\n".join(lines) + "\n").encode(), name

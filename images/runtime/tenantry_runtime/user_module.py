"""A user's inference module: model_fn, input_fn, predict_fn, output_fn, or transform_fn instead of the last three.

Follows the SageMaker inference toolkit's contract. What a module leaves out is done the framework's way:
arrays in and out for scikit-learn and PyTorch, JSON for a Hugging Face pipeline. Several models may be
loaded at once, so a module is not put into `sys.modules` under its file's name.
"""

import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from . import archive, layout, overlay
from .web import HttpError
from .xgboost_data import media_type


def find(model_dir):
    """`(directory, file name)` of the module of this model, or None when there is none."""
    program = os.environ.get("SAGEMAKER_PROGRAM")
    source = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY")
    names = [program] if program else ["inference.py"]
    places = [Path(model_dir) / "code"]
    if program and source:
        if source.startswith("s3://") or os.path.isfile(source):
            target = layout.code_dir()
            archive.fetch_sources(source, target)
            places.insert(0, target)
        else:
            places.append(Path(source))
    for place in places:
        for name in names:
            if (place / name).is_file():
                return str(place), name
    if program:
        raise ValueError(f"SAGEMAKER_PROGRAM `{program}` is in none of {[str(place) for place in places]}")
    return None


def install_requirements(directory):
    """Installs the module's requirements.txt into the container's own layer."""
    if not os.path.isfile(os.path.join(directory, "requirements.txt")):
        return
    result = subprocess.run([sys.executable, "-m", "pip", "install", "-r", "requirements.txt"], cwd=directory,
                            env=overlay.environment(), check=False)
    if result.returncode:
        raise ValueError(f"pip could not install {directory}/requirements.txt, see the log above")
    importlib.invalidate_caches()


def import_file(directory, name):
    """The module of a file, with its directory importable."""
    path = os.path.join(directory, name)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    unique = "user_" + hashlib.sha256(path.encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(unique, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    spec.loader.exec_module(module)
    return module


def decode(body, content_type):
    """A numpy array (or parsed JSON that is none) from CSV, JSON or NPY; raises HttpError 415."""
    import numpy

    name, _ = media_type(content_type or "application/json")
    try:
        if name == "application/x-npy":
            return numpy.load(io.BytesIO(body), allow_pickle=False)
        if name == "text/csv":
            return numpy.genfromtxt(io.StringIO(body.decode()), delimiter=",")
        if name == "application/json":
            value = json.loads(body)
            return numpy.array(value) if isinstance(value, list) else value
    except (ValueError, UnicodeDecodeError) as error:
        raise HttpError(400, f"cannot read the request as {name}: {error}") from error
    raise HttpError(415, f"Content-type {content_type} is not supported, use text/csv, application/json or "
                         "application/x-npy")


def encode(value, accept):
    """`(body, content type)` of a prediction."""
    name = media_type(accept)[0] if accept else ""
    if name in ("", "*/*"):
        name = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json")
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if name == "application/x-npy":
        import numpy
        buffer = io.BytesIO()
        numpy.save(buffer, numpy.asarray(value), allow_pickle=False)
        return buffer.getvalue(), name
    plain = value.tolist() if hasattr(value, "tolist") else value
    if name == "text/csv":
        rows = plain if isinstance(plain, list) else [plain]
        lines = (",".join(map(str, row)) if isinstance(row, (list, tuple)) else str(row) for row in rows)
        return ("\n".join(lines) + "\n").encode(), name
    if name == "application/json":
        return json.dumps(plain, default=lambda v: v.tolist() if hasattr(v, "tolist") else str(v)).encode(), name
    raise HttpError(406, f"Accept type {accept} is not supported, use application/json, text/csv or application/x-npy")


def _sklearn_model(directory):
    raise NotImplementedError("the inference module must define model_fn(model_dir), scikit-learn has no default")


def _torch_model(directory):
    import torch

    files = [name for name in sorted(os.listdir(directory)) if name.endswith((".pt", ".pth"))]
    if len(files) != 1:
        raise ValueError(f"{directory} holds {files or 'no model file'}: define model_fn, or put one TorchScript "
                         "file model.pth there")
    return torch.jit.load(os.path.join(directory, files[0]), map_location="cpu").eval()


def _xgboost_model(directory):
    raise NotImplementedError("the inference module must define model_fn(model_dir)")


def _plain_predict(data, model):
    return model.predict(data)


def _torch_predict(data, model):
    import torch

    with torch.no_grad():
        return model(torch.as_tensor(data, dtype=torch.float32))


def _xgboost_input(body, content_type):
    import xgboost
    return xgboost.DMatrix(decode(body, content_type))


class Module:
    """A model with the functions that turn a request into an answer."""

    def __init__(self, module, directory, framework):
        from . import huggingface

        def own(name, default):
            return getattr(module, name, default)

        model_fns = {"pytorch": _torch_model, "huggingface": huggingface.load_pipeline, "xgboost": _xgboost_model}
        predict_fns = {"pytorch": _torch_predict, "huggingface": huggingface.predict}
        inputs = {"huggingface": huggingface.decode, "xgboost": _xgboost_input}
        if module is None and framework == "sklearn":
            raise ValueError("a scikit-learn model needs a user module: set SAGEMAKER_PROGRAM")
        self.transform = own("transform_fn", None)
        self.input = own("input_fn", inputs.get(framework, decode))
        self.predict = own("predict_fn", predict_fns.get(framework, _plain_predict))
        self.output = own("output_fn", encode)
        self.lock = threading.Lock()
        self.model = own("model_fn", model_fns.get(framework, _sklearn_model))(directory)

    def invoke(self, body, content_type, accept):
        """`(body, content type)` of the answer; the user's functions run one request at a time."""
        content_type = content_type or "application/json"
        accept = accept if accept and accept != "*/*" else \
            os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json")
        with self.lock:
            if self.transform:
                result = self.transform(self.model, _text(body, content_type), content_type, accept)
            else:
                data = self.input(_text(body, content_type), content_type) if self.input not in (
                    decode, _xgboost_input) else self.input(body, content_type)
                result = self.output(self.predict(data, self.model), accept)
        answered = accept
        if isinstance(result, tuple) and len(result) == 2:
            result, answered = result
        elif hasattr(result, "response"):
            result, answered = result.response, getattr(result, "mimetype", accept)
        if isinstance(result, str):
            result = result.encode()
        if not isinstance(result, (bytes, bytearray)):
            result, answered = encode(result, accept)
        return bytes(result), answered


def _text(body, content_type):
    """User functions get text for text types, as the toolkit gives it, and bytes for the rest."""
    name, _ = media_type(content_type)
    if name.startswith("text/") or name in ("application/json", "application/jsonlines"):
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise HttpError(400, f"the request body is not UTF-8: {error}") from error
    return body


def load(model_dir, code_dir, name, framework):
    """A `Module` of the model directory; without `name` all functions are the framework's own."""
    module = None
    if name:
        install_requirements(code_dir)
        module = import_file(code_dir, name)
    return Module(module, model_dir, framework)

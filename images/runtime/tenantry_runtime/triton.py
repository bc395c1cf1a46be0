"""`python -m tenantry_runtime.triton`: the serving entry point of the sagemaker-tritonserver image.

Triton's SageMaker mode: /ping and /invocations for one model, the /models API for many, both speaking
the v2 inference protocol. A model directory holds `NAME/config.pbtxt` and `NAME/1/…`; when it holds
several models `SAGEMAKER_TRITON_DEFAULT_MODEL_NAME` says which one is invoked. gRPC, ensembles, dynamic
batching and shared memory are not here.
"""

import os
import re
import sys
from pathlib import Path

from . import layout, multi_model, triton_backends, triton_config, triton_tensors, web
from .web import HttpError

_BINARY = "application/vnd.sagemaker-triton.binary+json"


class Model:
    """A loaded model with its configuration."""

    def __init__(self, directory):
        self.config = triton_config.read(directory)
        self.backend = triton_backends.make(self.config, directory)

    def metadata(self):
        """The v2 protocol's model metadata."""
        config = self.config

        def described(tensors):
            return [{"name": t.name, "datatype": t.datatype, "shape": config.shape(t)} for t in tensors]

        return {"name": config.name, "versions": [config.version], "platform": config.backend,
                "inputs": described(config.inputs), "outputs": described(config.outputs)}

    def infer(self, request):
        """`(status, body, headers)` of an inference request."""
        content_type = request.headers.get("Content-Type") or "application/json"
        sagemaker = content_type.split(";")[0].strip().lower() == _BINARY
        length = _header_length(request, content_type) if sagemaker else \
            _number(request.headers.get("Inference-Header-Content-Length"))
        inference = triton_tensors.decode(self.config, request.body, length)
        results = self.backend.execute(inference.inputs)
        body, size = triton_tensors.encode(self.config, inference, results)
        if size is None:
            return 200, body, {"Content-Type": "application/json"}
        if request.path.startswith("/v2/"):
            return 200, body, {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": size}
        return 200, body, {"Content-Type": f"{_BINARY};json-header-size={size}"}


def _number(text):
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise HttpError(400, "Unable to parse Inference-Header-Content-Length, it must be a number")
    return int(text)


def _header_length(request, content_type):
    match = re.search(r";\s*json-header-size\s*=\s*(\d{1,11})\s*$", content_type)
    if not match:
        raise HttpError(400, f"Unable to parse the content type, expected {_BINARY};json-header-size=N")
    return int(match.group(1))


def find(directory):
    """The one model directory to serve in an unpacked archive; raises HttpError 400."""
    directory = Path(directory)
    if (directory / "config.pbtxt").is_file():
        return directory
    found = sorted(path for path in directory.iterdir() if (path / "config.pbtxt").is_file())
    default = os.environ.get("SAGEMAKER_TRITON_DEFAULT_MODEL_NAME")
    chosen = [path for path in found if path.name == default]
    if chosen:
        return chosen[0]
    if len(found) == 1:
        return found[0]
    if not found:
        raise HttpError(400, f"failed to load model: no model repository in {directory}, expected "
                             "NAME/config.pbtxt and NAME/1/ in the model archive")
    raise HttpError(400, "failed to load model: the archive holds several models "
                         f"({', '.join(path.name for path in found)}), name one in SAGEMAKER_TRITON_DEFAULT_MODEL_NAME")


def load(directory):
    """The model of an unpacked archive; raises HttpError 400 with what is wrong."""
    try:
        return Model(find(directory))
    except triton_config.ConfigError as error:
        raise HttpError(400, f"failed to load model: {error}") from error


def _v2(model, request):
    """The plain v2 protocol's paths, beside SageMaker's."""
    import json

    name = model.config.name
    headers = {"Content-Type": "application/json"}
    if request.path in ("/v2/health/live", "/v2/health/ready", f"/v2/models/{name}/ready"):
        return 200, b"", {}
    if request.path == "/v2":
        server = {"name": "tenantry-triton", "version": "2", "extensions": ["binary_tensor_data"]}
        return 200, json.dumps(server).encode(), headers
    match = re.fullmatch(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/infer)?", request.path)
    if match and (match[1] != name or match[2] not in (None, model.config.version)):
        raise HttpError(404, f"Request for unknown model: '{match[1]}' is not found")
    if match and match[3] and request.method == "POST":
        return model.infer(request)
    if match and not match[3] and request.method == "GET":
        return 200, json.dumps(model.metadata()).encode(), headers
    raise HttpError(404, f"no operation {request.method} {request.path}")


def application(multi):
    """The function that answers requests; a single model is loaded before it returns."""
    registry = multi_model.Registry(load)
    model = None if multi else load(str(layout.model_dir()))

    def respond(request):
        if request.path == "/ping" and request.method == "GET":
            return 200, b"", {}
        if multi:
            answer = multi_model.route(registry, request, lambda loaded, asked: loaded.infer(asked))
            if answer:
                return answer
        elif request.path == "/invocations" and request.method == "POST":
            return model.infer(request)
        elif request.path == "/v2" or request.path.startswith("/v2/"):
            return _v2(model, request)
        raise HttpError(404, f"no operation {request.method} {request.path}")

    return respond


def main():
    """Returns the process's exit code; 1 with the reason on stderr when the model cannot be loaded."""
    multi = os.environ.get("SAGEMAKER_MULTI_MODEL", "false").lower() == "true"
    try:
        respond = application(multi)
    except (HttpError, OSError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    return web.serve_forever(respond)


if __name__ == "__main__":
    sys.exit(main())

"""The multi-model API: models are loaded, listed, invoked and unloaded by name.

Follows "Build Your Own Container for SageMaker AI Multi-Model Endpoints" in the SageMaker developer guide:
409 for a name already loaded, 404 for one that is not, 507 when there is no room. The platform unpacks
the archives; a `url` here is a local directory and must lie under /opt/ml.
"""

import os
import re
import threading

from . import layout
from .web import HttpError

_NAME = re.compile(r"^[^/\x00-\x1f]{1,1024}$")


def _max_models():
    value = os.environ.get("SAGEMAKER_MAX_LOADED_MODELS", "")
    return int(value) if value.isdigit() else 200


class Registry:
    """Loaded models by name; `load(directory)` makes one, `close()` of a model is called if it has one."""

    def __init__(self, load):
        self._load = load
        self._models = {}
        self._lock = threading.Lock()

    def _directory(self, url):
        path = os.path.realpath(url)
        base = os.path.realpath(layout.root())
        if not path.startswith(base + os.sep):
            raise HttpError(400, f"the model url must be a directory under {base}")
        if not os.path.isdir(path):
            raise HttpError(404, f"the model directory {url} does not exist")
        return path

    def load(self, name, url):
        """Loads a model; other models stay usable meanwhile."""
        if not isinstance(name, str) or not isinstance(url, str) or not _NAME.match(name):
            raise HttpError(400, "a load request needs the strings `model_name` and `url`")
        path = self._directory(url)
        with self._lock:
            if name in self._models:
                raise HttpError(409, f"Model {name} is already registered.")
            if len(self._models) >= _max_models():
                raise HttpError(507, f"no room for model {name}, unload another first")
            # Reserves the name, so that two requests do not load the same model at once.
            self._models[name] = (url, None)
        try:
            model = self._load(path)
        except BaseException:
            with self._lock:
                self._models.pop(name, None)
            raise
        with self._lock:
            self._models[name] = (url, model)

    def get(self, name):
        """The loaded model; raises HttpError 404."""
        with self._lock:
            _, model = self._models.get(name, (None, None))
        if model is None:
            raise HttpError(404, f"Model not found: {name}")
        return model

    def describe(self, name):
        """`{"modelName", "modelUrl"}`."""
        self.get(name)
        return {"modelName": name, "modelUrl": self._models[name][0]}

    def names(self):
        """The descriptions of all loaded models, in order of name."""
        with self._lock:
            return [{"modelName": name, "modelUrl": url} for name, (url, model) in sorted(self._models.items())
                    if model is not None]

    def unload(self, name):
        """Forgets a model; raises HttpError 404."""
        model = self.get(name)
        with self._lock:
            self._models.pop(name, None)
        close = getattr(model, "close", None)
        if close:
            close()


def route(registry, request, invoke):
    """Answers a `/models…` request or returns None; `invoke(model, request)` gives (status, body, headers)."""
    import json
    from urllib.parse import unquote

    parts = [unquote(part) for part in request.path.split("/")[1:]]
    if parts[0] != "models":
        return None
    headers = {"Content-Type": "application/json"}
    if len(parts) == 1 or parts[1:] == [""]:
        if request.method == "POST":
            wanted = request.json()
            registry.load(wanted.get("model_name"), wanted.get("url"))
            status = {"status": f"Model \"{wanted['model_name']}\" registered"}
            return 200, json.dumps(status).encode(), headers
        if request.method == "GET":
            return 200, json.dumps({"models": registry.names()}).encode(), headers
    elif len(parts) == 2:
        if request.method == "GET":
            return 200, json.dumps(registry.describe(parts[1])).encode(), headers
        if request.method == "DELETE":
            registry.unload(parts[1])
            return 200, json.dumps({"status": f"Model \"{parts[1]}\" unregistered"}).encode(), headers
    elif len(parts) == 3 and parts[2] == "invoke" and request.method == "POST":
        return invoke(registry.get(parts[1]), request)
    raise HttpError(405 if len(parts) < 4 else 404, f"no operation {request.method} {request.path}")

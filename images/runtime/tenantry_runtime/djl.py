"""The Python engine of the djl-inference image: serving.properties and a model.py with `handle(inputs)`.

`handle` gets an Input and returns an Output (package `djl_python`, a small one of ours). It is called once
with an empty input to load the model, as DJL Serving does. `option.*` properties are the input's
properties. Engines other than Python, and partitioning over GPUs, are not here: a handler written for MPI or
DeepSpeed is one process, rank 0 of 1, and says itself what library it misses.
"""

import os
import sys
import threading
from pathlib import Path

from . import archive, layout, user_module
from .web import HttpError


def read_properties(directory):
    """serving.properties as a mapping; `option.` is cut from names. An `OPTION_X` variable comes first."""
    values = {}
    path = Path(directory) / "serving.properties"
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            line = line.strip()
            if line and line[0] not in "#!" and "=" in line:
                name, value = line.split("=", 1)
                name = name.strip()
                values[name[len("option."):] if name.startswith("option.") else name] = value.strip()
    for name, value in os.environ.items():
        if name.startswith("OPTION_"):
            values[name[len("OPTION_"):].lower()] = value
    return values


def _fetch_weights(uri):
    """Downloads the objects under `option.s3url` and returns the local directory."""
    import boto3
    from urllib.parse import urlparse

    parsed = urlparse(uri)
    prefix = parsed.path.lstrip("/")
    target = layout.root() / ".weights"
    client = boto3.client("s3")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=parsed.netloc, Prefix=prefix):
        for item in page.get("Contents", []):
            local = os.path.realpath(target / item["Key"][len(prefix):].lstrip("/"))
            if item["Key"].endswith("/"):
                continue
            if not local.startswith(os.path.realpath(target) + os.sep):
                raise ValueError(f"the object {item['Key']} would leave the model directory")
            os.makedirs(os.path.dirname(local), exist_ok=True)
            client.download_file(parsed.netloc, item["Key"], local)
    return str(target)


class Engine:
    """A model.py with its properties; one request at a time."""

    def __init__(self, module, function, properties):
        from djl_python import Input

        self.handle = getattr(module, function, None)
        if self.handle is None:
            raise ValueError(f"the model's entry point does not define `{function}`")
        self.properties, self.lock = properties, threading.Lock()
        empty = Input()
        empty.properties = dict(properties)
        self.handle(empty)

    def invoke(self, body, content_type, accept):
        """`(body, content type)` of the answer; an Output with an error code becomes that status."""
        from djl_python import Input

        given = Input()
        given.properties = {**self.properties, "Content-Type": content_type or "application/json",
                            "Accept": accept or "*/*"}
        given.append(body)
        with self.lock:
            output = self.handle(given)
        if output is None:
            raise HttpError(500, "the model's handler returned nothing")
        if output.code >= 400:
            raise HttpError(output.code, output.message)
        return output.body(), output.properties.get("Content-Type", "application/octet-stream")


def load(directory):
    """The engine of a model directory; the directory of the archive may hold the files one level down."""
    shims = str(Path(__file__).parent / "shims")
    if shims not in sys.path:
        sys.path.append(shims)
    inner = [path for path in Path(directory).iterdir() if path.is_dir() and (path / "serving.properties").is_file()]
    if not (Path(directory) / "serving.properties").is_file() and len(inner) == 1:
        directory = str(inner[0])
    if not (Path(directory) / "model.py").is_file():
        packed = sorted(Path(directory).glob("*.tar.gz"))
        if packed:
            target = layout.root() / ".model"
            archive.extract(str(packed[0]), target)
            directory = str(target)
    properties = read_properties(directory)
    engine = properties.get("engine", "Python")
    if engine not in ("Python", "MPI", "DeepSpeed"):
        raise ValueError(f"engine `{engine}` is not available here, use engine=Python")
    if engine != "Python":
        for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1")):
            os.environ.setdefault(name, value)
    source = properties.get("s3url") or properties.get("model_id", "")
    if source.startswith("s3://"):
        properties["model_id"] = _fetch_weights(source)
    properties["model_dir"] = directory
    entry = properties.get("entryPoint", "model.py")
    if not (Path(directory) / entry).is_file():
        raise ValueError(f"the model has no entry point `{entry}`: the image's built-in handlers are not here, "
                         "put a model.py with `handle(inputs)` beside serving.properties")
    user_module.install_requirements(directory)
    return Engine(user_module.import_file(directory, entry), properties.get("handler", "handle"), properties)

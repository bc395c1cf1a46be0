"""The Hugging Face image without a user module: a transformers pipeline over the model directory.

`HF_TASK` names the pipeline. `HF_MODEL_ID` is honoured when the hub can be reached, which a job's network
usually forbids; the model is then expected in the model archive.
"""

import json
import os

from .web import HttpError


def load_pipeline(directory):
    """A pipeline of the model in `directory`, or of `HF_MODEL_ID` when the directory has none."""
    from transformers import pipeline

    task = os.environ.get("HF_TASK")
    source = directory if os.path.isfile(os.path.join(directory, "config.json")) else os.environ.get("HF_MODEL_ID")
    if not source:
        raise ValueError(f"{directory} holds no config.json and HF_MODEL_ID is not set: give one of them")
    return pipeline(task=task, model=source, device=-1) if task else pipeline(model=source, device=-1)


def decode(body, content_type):
    """The request's JSON; other types are for a user's own input_fn."""
    if "json" not in (content_type or "application/json"):
        raise HttpError(415, f"Content-type {content_type} is not supported, use application/json")
    try:
        return json.loads(body)
    except ValueError as error:
        raise HttpError(400, f"cannot read the request as application/json: {error}") from error


def predict(data, pipe):
    """Runs the pipeline on `inputs` with `parameters`, as the image's default handler does."""
    if not isinstance(data, dict) or "inputs" not in data:
        raise HttpError(400, "the request must be an object with `inputs`")
    parameters = data.get("parameters") or {}
    if isinstance(data["inputs"], dict):
        return pipe(**data["inputs"], **parameters)
    return pipe(data["inputs"], **parameters)

"""An inference module for the Hugging Face image: its own words for request and answer."""

import json

from transformers import pipeline


def model_fn(model_dir):
    return pipeline("text2text-generation", model=model_dir)


def input_fn(body, content_type):
    return body.splitlines() if content_type == "text/plain" else json.loads(body)["lines"]


def predict_fn(lines, model):
    return [answer["generated_text"] for answer in model(lines)]


def output_fn(prediction, accept):
    return json.dumps({"outputs": prediction}), "application/json"

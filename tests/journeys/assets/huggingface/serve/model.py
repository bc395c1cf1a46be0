"""The handler of a djl-inference endpoint: the model lies where `option.s3url` was downloaded to."""

from djl_python import Input, Output
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

loaded = None


def load(properties):
    place = properties["model_id"]
    return AutoTokenizer.from_pretrained(place), AutoModelForSeq2SeqLM.from_pretrained(place)


def handle(inputs: Input) -> Output:
    global loaded
    if loaded is None:
        loaded = load(inputs.get_properties())
    if inputs.is_empty():
        # The call that warms up a worker.
        return None
    request = inputs.get_as_json()
    tokenizer, model = loaded
    tokens = tokenizer(request["inputs"], return_tensors="pt", padding=True)
    made = model.generate(**tokens, **request.get("parameters", {}))
    return Output().add_as_json({"outputs": tokenizer.batch_decode(made, skip_special_tokens=True)})

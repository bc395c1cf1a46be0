"""`python -m tenantry_runtime.serve FRAMEWORK`: the inference entry point of all images but Triton's.

FRAMEWORK is xgboost, sklearn, pytorch, huggingface or djl. A user's module is used when there is one
(`SAGEMAKER_PROGRAM`, or inference.py beside the model); else the framework's own handler. One model at
/invocations, or many at /models when `SAGEMAKER_MULTI_MODEL` is true.
"""

import os
import sys
import traceback

from . import layout, multi_model, overlay, web
from .web import HttpError

FRAMEWORKS = ("xgboost", "sklearn", "pytorch", "huggingface", "djl")


def loader(framework):
    """The function that makes a model, with `invoke(body, content_type, accept)`, of a directory."""
    from . import user_module

    if framework == "djl":
        from . import djl
        return djl.load

    def load(directory):
        code = user_module.find(directory)
        if code:
            return user_module.load(directory, *code, framework)
        if framework == "xgboost":
            from . import xgboost_predict
            return xgboost_predict.Model(directory)
        return user_module.load(directory, None, None, framework)

    return load


def _answer(model, request):
    body, content_type = model.invoke(request.body, request.headers.get("Content-Type"), request.headers.get("Accept"))
    if content_type is None:
        return 204, b"", {}
    return 200, body, {"Content-Type": content_type}


def application(load, multi):
    """The function that answers requests; in single-model mode the model is loaded before it returns."""
    registry = multi_model.Registry(load)
    model = None if multi else load(str(layout.model_dir()))

    def respond(request):
        if request.path == "/ping" and request.method == "GET":
            return 200, b"", {"Content-Type": "application/json"}
        if multi:
            answer = multi_model.route(registry, request, _answer)
            if answer:
                return answer
        elif request.path == "/invocations":
            if request.method != "POST":
                raise HttpError(405, "only POST /invocations")
            return _answer(model, request)
        elif request.path == "/execution-parameters" and request.method == "GET":
            text = b'{"MaxConcurrentTransforms": %d, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": %d}'
            return 200, text % (os.cpu_count() or 1, max(web.max_body() >> 20, 1)), {"Content-Type": "application/json"}
        raise HttpError(404, f"no operation {request.method} {request.path}")

    return respond


def _plain_error(_, message):
    """The XGBoost image answers an error as its bare text."""
    return message.encode(), "text/html; charset=utf-8"


def main():
    """Returns the process's exit code; 1 with the reason on stderr when the model cannot be loaded."""
    if len(sys.argv) != 2 or sys.argv[1] not in FRAMEWORKS:
        print(f"usage: python -m tenantry_runtime.serve {'|'.join(FRAMEWORKS)}", file=sys.stderr)
        return 2
    overlay.enter("tenantry_runtime.serve")
    multi = os.environ.get("SAGEMAKER_MULTI_MODEL", "false").lower() == "true"
    try:
        respond = application(loader(sys.argv[1]), multi)
    except Exception as error:
        traceback.print_exc()
        print(f"the model cannot be loaded: {error}", file=sys.stderr, flush=True)
        return 1
    return web.serve_forever(respond, _plain_error if sys.argv[1] == "xgboost" else web.json_error)


if __name__ == "__main__":
    sys.exit(main())

"""The other half of `cargo xtask wire`: botocore's serializers and parsers over the cases of crates/wire.

Writes the requests that botocore makes of the inputs, and compares what its parsers read in our responses.
Usage: wire.py CASES REQUESTS
"""

import base64
import datetime
import json
import sys
from urllib.parse import parse_qsl, urlencode

from botocore.awsrequest import HeadersDict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer


def native(shape, value):
    """A case's value as botocore's serializers take it."""
    kind = shape.type_name
    if kind == "structure":
        return {name: native(shape.members[name], item) for name, item in value.items()}
    if kind == "list":
        return [native(shape.member, item) for item in value]
    if kind == "map":
        return {name: native(shape.value, item) for name, item in value.items()}
    return base64.b64decode(value) if kind == "blob" else value


def plain(value):
    """A parser's result as a case writes it."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def request(serializer, operation, case):
    shape = operation.input_shape
    made = serializer.serialize_to_request(native(shape, case["input"]) if shape else {}, operation)
    body = made["body"]
    if isinstance(body, dict):
        body = urlencode(body)
    if isinstance(body, str):
        body = body.encode()
    path, _, fixed = made["url_path"].partition("?")
    query = parse_qsl(fixed, keep_blank_values=True)
    given = made["query_string"] or {}
    for name, value in given.items() if isinstance(given, dict) else given:
        query += [(name, str(item)) for item in (value if isinstance(value, list) else [value])]
    return {
        "method": made["method"],
        "path": path,
        "query": query,
        "headers": [(name, str(value)) for name, value in made["headers"].items()],
        "body": base64.b64encode(body or b"").decode(),
    }


def parsed(parser, operation, answer):
    response = {
        "status_code": answer["status"],
        "headers": HeadersDict(answer["headers"]),
        "body": base64.b64decode(answer["body"]),
        "context": {"operation_name": operation.name},
    }
    return parser.parse(response, operation.output_shape)


def error_fault(parser, operation, case):
    found = parsed(parser, operation, case["error"])
    told = {name: found["Error"].get(name) for name in ("Code", "Message")}
    wanted = {"Code": "SomeConflict", "Message": 'a <b> & "c" é'}
    metadata = found["ResponseMetadata"]
    good = told == wanted and metadata["RequestId"] == "request-id" and metadata["HTTPStatusCode"] == 409
    return None if good else f"  the error is read as {found}"


def response_fault(parser, operation, case):
    shape = operation.output_shape
    found = parsed(parser, operation, case)
    if found.pop("ResponseMetadata", {}).get("RequestId") != "request-id":
        return "  the request id is missing"
    wanted = case["output"]
    if shape and "Metadata" in shape.members and "Metadata" not in wanted and found.get("Metadata") == {}:
        # What botocore makes of no header at all with the prefix.
        del found["Metadata"]
    payload = shape.serialization.get("payload") if shape else None
    if payload and payload not in wanted:
        # A raw body, or a member that botocore makes of an empty one.
        found.pop(payload, None)
    if operation.name == "GetBucketLocation":
        # Its root is read by a handler of the client and not by the parser; a unit test covers it.
        return None
    found = plain(found)
    return None if found == wanted else f"  encoded {json.dumps(wanted)}\n  read    {json.dumps(found)}"


def main():
    loader, known, faults = Loader(), {}, 0
    with open(sys.argv[1]) as cases, open(sys.argv[2], "w") as requests:
        for line in cases:
            case = json.loads(line)
            service = case["service"]
            if service not in known:
                model = ServiceModel(loader.load_service_model(service, "service-2"), service)
                protocol = model.metadata["protocol"]
                known[service] = model, create_serializer(protocol, include_validation=False), create_parser(protocol)
            model, serializer, parser = known[service]
            operation = model.operation_model(case["operation"])
            requests.write(json.dumps(request(serializer, operation, case)) + "\n")
            fault = response_fault(parser, operation, case) or error_fault(parser, operation, case)
            if fault:
                faults += 1
                print(f"{service} {operation.name}\n{fault}", file=sys.stderr)
    if faults:
        sys.exit(f"botocore reads something else in {faults} responses")


main()

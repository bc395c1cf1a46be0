"""Writes models/<service>.json from the installed botocore package's service descriptions.

Only facts that the wire needs are kept: names, wire names, types, bindings, constraints, error codes.
Descriptive text is dropped by construction: every kept key is listed here.
Usage: models.py OPERATIONS_TOML OUTPUT_DIRECTORY
"""

import json
import pathlib
import sys
import tomllib

import botocore
from botocore.loaders import Loader

METADATA = (
    "protocol", "jsonVersion", "apiVersion", "endpointPrefix", "signingName", "targetPrefix", "xmlNamespace",
    "globalEndpoint", "serviceId",
)
MEMBER = (
    "location", "locationName", "queryName", "flattened", "xmlAttribute", "xmlNamespace", "streaming",
    "timestampFormat", "jsonvalue", "idempotencyToken", "hostLabel", "eventpayload", "eventheader", "box",
)
SHAPE = (
    "required", "payload", "locationName", "flattened", "xmlNamespace", "timestampFormat", "streaming",
    "min", "max", "pattern", "enum", "box", "sensitive", "jsonvalue", "eventstream", "event", "union", "document",
    "exception", "fault",
)


def keep(source, keys):
    """The listed keys that are present and not false."""
    return {key: source[key] for key in keys if source.get(key) not in (None, False)}


def reference(source):
    """A member, list member, map key or map value: its shape's name alone where it has no traits."""
    traits = keep(source, MEMBER)
    return {"shape": source["shape"], **traits} if traits else source["shape"]


def shape(source):
    """One shape without its text."""
    out = {"type": source["type"], **keep(source, SHAPE)}
    if "error" in source:
        out["error"] = keep(source["error"], ("code", "httpStatusCode", "senderFault"))
    if "members" in source:
        out["members"] = {name: reference(member) for name, member in source["members"].items()}
    for key in ("member", "key", "value"):
        if key in source:
            out[key] = reference(source[key])
    return out


def operation(source):
    """One operation: its request line, shapes and errors."""
    http = source.get("http", {})
    out = {"method": http.get("method", "POST"), "uri": http.get("requestUri", "/")}
    if http.get("responseCode", 200) != 200:
        out["status"] = http["responseCode"]
    if "endpoint" in source:
        out["hostPrefix"] = source["endpoint"]["hostPrefix"]
    for key in ("input", "output"):
        if key in source:
            out[key] = source[key]["shape"]
    wrapper = source.get("output", {}).get("resultWrapper")
    if wrapper:
        out["resultWrapper"] = wrapper
    root = keep(source.get("input", {}), ("locationName", "xmlNamespace"))
    if root:
        out["inputRoot"] = root
    checksum = keep(source.get("httpChecksum", {}), ("requestAlgorithmMember", "requestChecksumRequired"))
    if checksum:
        out["httpChecksum"] = checksum
    errors = [error["shape"] for error in source.get("errors", [])]
    if errors:
        out["errors"] = errors
    return out


def children(source):
    """Names of the shapes that a shape refers to."""
    for member in source.get("members", {}).values():
        yield member["shape"]
    for key in ("member", "key", "value"):
        if key in source:
            yield source[key]["shape"]


def reachable(model, names):
    """Every shape that the named operations use, errors included."""
    todo = []
    for name in names:
        source = model["operations"][name]
        todo += [source[key]["shape"] for key in ("input", "output") if key in source]
        todo += [error["shape"] for error in source.get("errors", [])]
    seen = set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += children(model["shapes"][name])
    return sorted(seen)


def discriminators(model):
    """Query names that select an operation in any operation of a REST service, served or not.

    A request that carries one which the routed operation does not know is meant for another operation.
    """
    names = set()
    for source in model["operations"].values():
        query = source["http"]["requestUri"].partition("?")[2]
        names |= {pair.partition("=")[0] for pair in query.split("&") if pair}
        if "input" in source and not query:
            described = model["shapes"][source["input"]["shape"]]
            for name in described.get("required", []):
                member = described["members"][name]
                if member.get("location") == "querystring":
                    names.add(member["locationName"])
    return sorted(names)


def line(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def block(items):
    return ",\n".join(f"{line(name)}:{line(value)}" for name, value in items)


def render(service, model, names):
    """The file's text: one operation or shape per line."""
    missing = [name for name in names if name not in model["operations"]]
    if missing:
        sys.exit(f"botocore {botocore.__version__} has no {service} operation {', '.join(missing)}")
    metadata = {"source": f"botocore {botocore.__version__}", **keep(model["metadata"], METADATA)}
    if metadata["protocol"].startswith("rest"):
        metadata["discriminators"] = discriminators(model)
    operations = [(name, operation(model["operations"][name])) for name in sorted(names)]
    shapes = [(name, shape(model["shapes"][name])) for name in reachable(model, names)]
    return (
        f'{{\n"service":{line(service)},\n"metadata":{line(metadata)},\n'
        f'"operations":{{\n{block(operations)}\n}},\n"shapes":{{\n{block(shapes)}\n}}\n}}\n'
    )


def main():
    listed, out = map(pathlib.Path, sys.argv[1:3])
    services = tomllib.loads(listed.read_text())["services"]
    out.mkdir(parents=True, exist_ok=True)
    loader = Loader()
    for service, names in services.items():
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            sys.exit(f"{listed}: {service} lists {', '.join(twice)} twice")
        model = loader.load_service_model(service, "service-2")
        (out / f"{service}.json").write_text(render(service, model, names))


main()

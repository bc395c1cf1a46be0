"""The v2 inference protocol's requests and answers, as JSON and with the binary tensor extension.

Follows "Predict Protocol - Version 2" of KServe and Triton's binary data extension. A tensor is a numpy
array whose shape and type have been checked against the model's configuration.
"""

import json
import struct
from dataclasses import dataclass
from math import prod

from .web import HttpError

NUMPY = {"BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
         "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
MAX_ELEMENTS = 1 << 28


@dataclass
class Inference:
    """A decoded request: inputs by name, which outputs are wanted and which of them as binary."""

    id: str
    inputs: dict
    wanted: list
    binary: set


def _bad(message):
    return HttpError(400, message)


def _parameters(value):
    given = value.get("parameters") or {}
    if not isinstance(given, dict):
        raise _bad("Unable to parse 'parameters': attempt to access JSON non-object as object")
    return given


def split(body, header_length):
    """`(JSON object, bytes after it)`; without a header length the whole body is JSON."""
    if header_length is None:
        header, rest = body, b""
    else:
        if not 0 < header_length <= len(body):
            raise _bad("the JSON header's size is larger than the request body")
        header, rest = body[:header_length], body[header_length:]
    try:
        value = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise _bad(f"failed to parse the request JSON buffer: {error}") from error
    if not isinstance(value, dict):
        raise _bad("failed to parse the request JSON buffer: the document must be an object")
    return value, rest


def _strings(raw, name):
    values, position = [], 0
    while position < len(raw):
        if position + 4 > len(raw):
            raise _bad(f"incomplete string length indicator for inference input '{name}'")
        size, = struct.unpack_from("<I", raw, position)
        position += 4
        if position + size > len(raw):
            raise _bad(f"incomplete string data for inference input '{name}'")
        values.append(raw[position:position + size])
        position += size
    return values


def _from_json(data, datatype, shape, name):
    import numpy

    try:
        if datatype == "BYTES":
            array = numpy.array([v.encode() for v in numpy.array(data, dtype=object).ravel()], dtype=object)
        else:
            if datatype == "BOOL" and not set(map(type, _flat(data))) <= {bool}:
                raise ValueError("attempt to access JSON non-boolean as boolean")
            array = numpy.array(data, dtype=NUMPY[datatype]).ravel()
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise _bad(f"Unable to parse 'data': {error}") from error
    if array.size != prod(shape):
        raise _bad(f"Unable to parse 'data': Shape does not match true shape of 'data' field for input '{name}': "
                   f"{array.size} elements, shape {shape}")
    return array.reshape(shape)


def _flat(data):
    while data and isinstance(data[0], list):
        data = [value for row in data for value in row]
    return data


def _from_binary(raw, datatype, shape, name):
    import numpy

    if datatype == "BYTES":
        values = _strings(raw, name)
        if len(values) != prod(shape):
            raise _bad(f"expected {prod(shape)} strings for inference input '{name}', got {len(values)}")
        return numpy.array(values, dtype=object).reshape(shape)
    expected = prod(shape) * numpy.dtype(NUMPY[datatype]).itemsize
    if len(raw) != expected:
        raise _bad(f"input byte size mismatch for input '{name}'. Expected {expected}, got {len(raw)}")
    return numpy.frombuffer(raw, dtype=NUMPY[datatype]).reshape(shape)


def _checked_shape(config, tensor, given):
    shape = given.get("shape")
    if not isinstance(shape, list) or not all(isinstance(size, int) and not isinstance(size, bool) and size >= 0
                                              for size in shape):
        raise _bad(f"Unable to parse 'shape': attempt to access JSON non-unsigned-integer in input '{tensor.name}'")
    expected = config.shape(tensor)
    if 0 in shape:
        raise _bad(f"inference request for '{config.name}' must not be empty, got a shape with 0 for '{tensor.name}'")
    if config.max_batch_size > 0 and shape and shape[0] > config.max_batch_size:
        raise _bad(f"inference request batch-size must be <= {config.max_batch_size} for '{config.name}'")
    fits = len(shape) == len(expected) and all(want in (-1, have) for want, have in zip(expected, shape))
    if not fits or prod(shape) > MAX_ELEMENTS:
        text = ",".join(map(str, expected)), ",".join(map(str, shape))
        raise _bad(f"unexpected shape for input '{tensor.name}' for model '{config.name}'. Expected [{text[0]}], "
                   f"got [{text[1]}]")
    return shape


def _outputs(config, given):
    known = [tensor.name for tensor in config.outputs]
    wanted = given.get("outputs")
    everything = _parameters(given).get("binary_data_output") is True
    if wanted is None:
        return known, set(known) if everything else set()
    if not isinstance(wanted, list) or not all(isinstance(output, dict) for output in wanted):
        raise _bad("Unable to parse 'outputs': attempt to access JSON non-array as array")
    names, binary = [], set()
    for output in wanted:
        name = output.get("name")
        if name not in known:
            raise _bad(f"unexpected inference output '{name}' for model '{config.name}'")
        names.append(name)
        if _parameters(output).get("binary_data", everything) is True:
            binary.add(name)
    return names, binary


def decode(config, body, header_length):
    """An `Inference` that fits the model; raises HttpError 400 with Triton's words for what does not."""
    given, rest = split(body, header_length)
    inputs = given.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(value, dict) for value in inputs):
        raise _bad("Unable to parse 'inputs': attempt to access JSON non-array as array")
    known = {tensor.name: tensor for tensor in config.inputs}
    if len(inputs) != len(known):
        raise _bad(f"expected {len(known)} inputs but got {len(inputs)} inputs for model '{config.name}'")
    arrays = {}
    for value in inputs:
        name, datatype = value.get("name"), value.get("datatype")
        tensor = known.get(name) if isinstance(name, str) else None
        if tensor is None or name in arrays:
            raise _bad(f"unexpected inference input '{name}' for model '{config.name}'")
        if datatype != tensor.datatype:
            raise _bad(f"inference input data-type is '{datatype}', but model '{config.name}' expects "
                       f"'{tensor.datatype}' for input '{name}'")
        shape = _checked_shape(config, tensor, value)
        size = _parameters(value).get("binary_data_size")
        if size is None:
            if "data" not in value or not isinstance(value["data"], list):
                raise _bad(f"Unable to parse 'data': input '{name}' must have an array 'data'")
            arrays[name] = _from_json(value["data"], datatype, shape, name)
        else:
            if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest):
                raise _bad(f"unable to find binary data of input '{name}' in the request body")
            arrays[name], rest = _from_binary(rest[:size], datatype, shape, name), rest[size:]
    if rest:
        raise _bad(f"unexpected additional input data for model '{config.name}'")
    names, binary = _outputs(config, given)
    identifier = given.get("id", "")
    return Inference(identifier if isinstance(identifier, str) else "", arrays, names, binary)


def _to_binary(array, datatype):
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value)) + value for value in array.ravel())
    return array.astype(NUMPY[datatype]).tobytes()


def encode(config, inference, results):
    """`(body, length of its JSON part or None when it is all JSON)`; `results` are arrays by output name."""
    header = {"model_name": config.name, "model_version": config.version, "outputs": []}
    if inference.id:
        header["id"] = inference.id
    types = {tensor.name: tensor.datatype for tensor in config.outputs}
    raw = []
    for name in inference.wanted:
        array = results[name]
        output = {"name": name, "datatype": types[name], "shape": list(array.shape)}
        if name in inference.binary:
            raw.append(_to_binary(array, types[name]))
            output["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            flat = array.ravel().tolist()
            output["data"] = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in flat]
        header["outputs"].append(output)
    text = json.dumps(header, separators=(",", ":")).encode()
    return (text + b"".join(raw), len(text)) if inference.binary else (text, None)

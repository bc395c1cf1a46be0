"""The answer as a handler makes it."""

import io
import json


def _plain(value):
    return value.tolist() if hasattr(value, "tolist") else str(value)


class Output:
    """A status, properties (which become headers) and content; methods return self so that they chain."""

    def __init__(self, code=200, message="OK"):
        self.code, self.message = code, message
        self.properties = {}
        self._content = []

    def error(self, message, code=500):
        """Makes this the answer to a request that failed."""
        self.code, self.message = code, str(message)
        return self

    def finalize(self):
        """Nothing to do: the answer is sent as a whole."""
        return self

    def add_property(self, key, value):
        """Sets a header, such as Content-Type."""
        self.properties[key] = value
        return self

    def add(self, value, key=None, batch_index=None):
        """Adds content: bytes as they are, text as UTF-8, anything else as JSON."""
        if isinstance(value, (bytes, bytearray)):
            self._content.append(bytes(value))
        elif isinstance(value, str):
            self._content.append(value.encode())
        else:
            self.properties.setdefault("Content-Type", "application/json")
            self._content.append(json.dumps(value, default=_plain).encode())
        return self

    def add_as_json(self, value, key=None, batch_index=None):
        """Adds a value as JSON, also a string."""
        self.properties["Content-Type"] = "application/json"
        self._content.append(json.dumps(value, ensure_ascii=False, default=_plain).encode())
        return self

    def add_as_numpy(self, arrays, key=None, batch_index=None):
        """Adds an array as NPY, or a list of arrays as NPZ."""
        import numpy

        buffer = io.BytesIO()
        if isinstance(arrays, (list, tuple)) and len(arrays) != 1:
            numpy.savez(buffer, *arrays)
        else:
            numpy.save(buffer, arrays[0] if isinstance(arrays, (list, tuple)) else arrays, allow_pickle=False)
        self.properties["Content-Type"] = "application/x-npy"
        self._content.append(buffer.getvalue())
        return self

    def body(self):
        """All content, which the server sends."""
        return b"".join(self._content)

"""The request as a handler sees it."""

import io
import json


class Input:
    """Named properties and an ordered list of byte strings, each with an optional key."""

    def __init__(self):
        self.properties = {}
        self._content = []
        self.request_id = None

    def append(self, value, key=None):
        """Adds one content item; the server calls it."""
        self._content.append((key, value))

    def is_empty(self):
        """True for the call that only loads the model."""
        return not self._content

    def get_properties(self):
        """All properties: serving.properties' options and the request's headers."""
        return self.properties

    def get_property(self, key):
        """One property or None; header names are compared without case."""
        if key in self.properties:
            return self.properties[key]
        lowered = {name.lower(): value for name, value in self.properties.items()}
        return lowered.get(key.lower())

    def contains_key(self, key):
        """Whether a content item has this key."""
        return any(name == key for name, _ in self._content)

    def get_content(self):
        """The content items without their keys."""
        return [value for _, value in self._content]

    def get_as_bytes(self, key=None):
        """A content item: the one with the key, or the first."""
        for name, value in self._content:
            if key is None or name == key:
                return value
        raise ValueError(f"the request has no content {key!r}" if key else "the request has no content")

    def get_as_string(self, key=None):
        """The item as UTF-8 text."""
        return self.get_as_bytes(key).decode("utf-8")

    def get_as_json(self, key=None):
        """The item parsed as JSON."""
        try:
            return json.loads(self.get_as_bytes(key))
        except ValueError as error:
            raise ValueError(f"the request is not valid JSON: {error}") from error

    def get_as_numpy(self, key=None):
        """The arrays of an NPY or NPZ item, in a list."""
        import numpy

        data = numpy.load(io.BytesIO(self.get_as_bytes(key)), allow_pickle=False)
        return [data[name] for name in data.files] if hasattr(data, "files") else [data]

    def get_as_image(self, key=None):
        """The item as a PIL image."""
        from PIL import Image
        return Image.open(io.BytesIO(self.get_as_bytes(key))).convert("RGB")

"""`Input` and `Output` as a model.py of DJL Serving's Python engine expects them.

Only what a handler calls: properties and content in; JSON, strings, bytes, tensors and errors out.
"""

from .inputs import Input
from .outputs import Output

__all__ = ["Input", "Output"]

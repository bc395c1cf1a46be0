"""Parses protobuf's text format as far as Triton's config.pbtxt uses it.

A message becomes a dictionary from field name to the list of its values, because a field may be repeated
and only the reader knows which may not. Numbers become int or float, `true` and `false` become bool, enum
names stay strings of the class `Enum`. Size and depth are bounded, since the file comes from a tenant.
"""

import re

MAX_CHARS = 1 << 20
MAX_DEPTH = 32

_TOKEN = re.compile(r"""
    (?P<space>[\s]+|\#[^\n]*)
  | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
  | (?P<number>-?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)[fF]?)
  | (?P<name>-?[A-Za-z_][\w.]*)
  | (?P<mark>[\[\]{}<>:;,])
""", re.VERBOSE)

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class Enum(str):
    """The name of an enum value, as against a string."""


class ParseError(ValueError):
    """Where and why the text is not a message."""


def _tokens(text):
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise ParseError(f"{line}: unexpected character {text[position]!r}")
        if match.lastgroup != "space":
            yield match.lastgroup, match.group(), line
        line += match.group().count("\n")
        position = match.end()
    yield "end", "", line


def _unescaped(literal):
    def one(match):
        code = match.group(1)
        if code[0] in "01234567":
            return chr(int(code, 8) & 0xFF)
        if code[0] in "xX" and len(code) > 1:
            return chr(int(code[1:], 16))
        return _ESCAPES.get(code, code)

    return re.sub(r"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|.)", one, literal[1:-1])


class _Parser:
    def __init__(self, text):
        self._stream = _tokens(text)
        self._next()

    def _next(self):
        self.kind, self.text, self.line = next(self._stream)

    def _take(self, mark):
        if self.kind == "mark" and self.text == mark:
            self._next()
            return True
        return False

    def _fail(self, expected):
        found = self.text or "end of file"
        raise ParseError(f"{self.line}: expected {expected}, found {found!r}")

    def message(self, end, depth=0):
        """Fields up to the mark `end`, or to the end of the text when it is None."""
        if depth > MAX_DEPTH:
            raise ParseError(f"{self.line}: messages are nested too deeply")
        fields = {}
        while not (self.kind == "end" if end is None else self._take(end)):
            if self.kind != "name":
                self._fail("a field name")
            name = self.text
            self._next()
            fields.setdefault(name, []).extend(self._values(depth))
            if not self._take(","):
                self._take(";")
        return fields

    def _values(self, depth):
        colon = self._take(":")
        if self._take("["):
            values = []
            while not self._take("]"):
                values.append(self._value(depth, True))
                if not self._take(",") and not (self.kind == "mark" and self.text == "]"):
                    self._fail("',' or ']'")
            return values
        return [self._value(depth, colon)]

    def _value(self, depth, scalar):
        for opening, closing in (("{", "}"), ("<", ">")):
            if self._take(opening):
                return self.message(closing, depth + 1)
        if not scalar:
            self._fail("':' or '{'")
        kind, text = self.kind, self.text
        if kind not in ("string", "number", "name"):
            self._fail("a value")
        self._next()
        if kind == "string":
            parts = [_unescaped(text)]
            while self.kind == "string":
                parts.append(_unescaped(self.text))
                self._next()
            return "".join(parts)
        if kind == "name":
            return {"true": True, "false": False}.get(text, Enum(text))
        if re.fullmatch(r"-?\d+", text):
            return int(text)
        if text.lstrip("-")[:2] in ("0x", "0X"):
            return int(text, 16)
        return float(text.rstrip("fF"))


def parse(text):
    """The message of a text; raises ParseError with the line."""
    if len(text) > MAX_CHARS:
        raise ParseError(f"the text is longer than {MAX_CHARS} characters")
    return _Parser(text).message(None)

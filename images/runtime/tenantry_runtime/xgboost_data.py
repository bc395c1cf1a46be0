"""Reads a channel of the built-in XGBoost algorithm into arrays.

Files may lie in nested directories and be many; names that begin with `.` or `_` are skipped, as are
XGBoost's own cache files. CSV has no header and the label comes first. Everything is parsed here rather
than by the library, because its own text readers changed between releases and do not say which file was
wrong.
"""

import csv
import os
from dataclasses import dataclass
from email.message import Message
from typing import Any, Optional

from .failure import UserError

_KINDS = {"csv": "csv", "text/csv": "csv", "libsvm": "libsvm", "text/libsvm": "libsvm", "text/x-libsvm": "libsvm",
          "parquet": "parquet", "application/x-parquet": "parquet",
          "recordio-protobuf": "recordio", "application/x-recordio-protobuf": "recordio"}


@dataclass
class Table:
    """The rows of one channel; `features` is a dense array or a scipy sparse matrix."""

    features: Any
    label: Any
    weight: Optional[Any] = None

    def dmatrix(self, columns=None):
        """The library's matrix; `columns` widens a sparse one so that all hosts agree on the width."""
        import xgboost

        features = self.features
        if columns is not None and hasattr(features, "tocsr") and features.shape[1] < columns:
            features.resize((features.shape[0], columns))
        return xgboost.DMatrix(features, label=self.label, weight=self.weight)


def media_type(text):
    """`("text/csv", {"label_size": "1"})` from a Content-Type value."""
    message = Message()
    message["content-type"] = text
    return message.get_content_type() if "/" in text else text.split(";")[0].strip(), dict(message.get_params()[1:])


def content_kind(content_type):
    """csv, libsvm or parquet; no content type means libsvm, as in the container."""
    if not content_type:
        return "libsvm"
    name, parameters = media_type(content_type.lower())
    if name not in _KINDS:
        raise UserError(f"{content_type} is not an accepted ContentType: {', '.join(_KINDS)}.")
    kind = _KINDS[name]
    if kind == "csv" and parameters.get("label_size", "1") != "1":
        raise UserError(f"{content_type} is not an accepted csv ContentType. Optional parameter label_size must be "
                        "equal to 1")
    if kind == "recordio":
        raise UserError("application/x-recordio-protobuf is not available here, give the channel as text/csv, "
                        "text/libsvm or application/x-parquet")
    return kind


def data_files(directory):
    """The channel's data files in a stable order; empty files do not count."""
    found = []
    for parent, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(parent, name)
            cache = ".cache" in name and ("dtrain" in name or "dval" in name)
            if name[0] in "._" or cache or not os.path.isfile(path) or os.path.getsize(path) == 0:
                continue
            found.append(path)
    return sorted(found)


def _first_line(path):
    with open(path, errors="replace") as file:
        return file.readline(1 << 20).strip()


def _bad_format(path, kind):
    snippet = _first_line(path)[:50]
    return UserError(f"First line '{snippet}...' of file '{os.path.basename(path)}' is not '{kind}' format. Please "
                     f"ensure the file is in '{kind}' format.")


def _delimiter(line):
    try:
        return csv.Sniffer().sniff(line[:4096], delimiters=",;\t| ").delimiter
    except csv.Error:
        if line and "," not in line:
            raise UserError(f"Could not determine delimiter on line {line[:50]}:\nCould not determine delimiter") \
                from None
        return ","


def _read_csv(path):
    import numpy
    import pandas

    delimiter = _delimiter(_first_line(path))
    try:
        return pandas.read_csv(path, header=None, sep=delimiter, dtype=numpy.float32).to_numpy()
    except (ValueError, pandas.errors.ParserError) as error:
        if any(character.isalpha() for character in _first_line(path).lower().replace("nan", "").replace("e", "")):
            raise _bad_format(path, "CSV") from error
        raise UserError(f"Failed to load csv data with exception:\n{os.path.basename(path)}: {error}") from error


def _read_parquet(path):
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError("application/x-parquet needs pyarrow, which this image does not have") from None
    try:
        return pyarrow.parquet.read_table(path).to_pandas().to_numpy(dtype="float32")
    except Exception as error:
        raise UserError(f"Failed to load parquet data with exception:\n{os.path.basename(path)}: {error}") from error


def _read_libsvm(path):
    """Labels, weights (or None) and one `{index: value}` per row."""
    labels, weights, rows = [], [], []
    with open(path, errors="replace") as file:
        for line in file:
            parts = line.split("#", 1)[0].split()
            if not parts:
                continue
            try:
                label, separator, weight = parts[0].partition(":")
                labels.append(float(label))
                weights.append(float(weight) if separator else 1.0)
                pairs = (part.split(":") for part in parts[1:] if not part.startswith("qid:"))
                rows.append({int(index): float(value) for index, value in pairs})
            except ValueError:
                raise _bad_format(path, "LIBSVM") from None
    return labels, weights, rows


def _sparse(files):
    import numpy
    from scipy import sparse

    labels, weights, rows = [], [], []
    for path in files:
        more_labels, more_weights, more_rows = _read_libsvm(path)
        labels += more_labels
        weights += more_weights
        rows += more_rows
    if any(index < 0 for row in rows for index in row):
        raise UserError("Failed to load libsvm data with exception:\na feature index is negative")
    data = numpy.array([value for row in rows for value in row.values()], dtype=numpy.float32)
    columns = numpy.array([index for row in rows for index in row], dtype=numpy.int64)
    starts = numpy.cumsum([0] + [len(row) for row in rows])
    width = int(columns.max()) + 1 if len(columns) else 0
    features = sparse.csr_matrix((data, columns, starts), shape=(len(rows), width))
    weight = numpy.array(weights, dtype=numpy.float32) if any(w != 1.0 for w in weights) else None
    return Table(features, numpy.array(labels, dtype=numpy.float32), weight)


def read(directory, content_type, csv_weights=False):
    """The channel's rows, or None when it has no data; raises UserError naming the file that is wrong."""
    import numpy

    kind = content_kind(content_type)
    files = data_files(directory)
    if not files:
        return None
    if kind == "libsvm":
        return _sparse(files)
    arrays = [(_read_csv if kind == "csv" else _read_parquet)(path) for path in files]
    widths = {array.shape[1] for array in arrays}
    if len(widths) > 1:
        raise UserError(f"the files of {directory} differ in their number of columns: {sorted(widths)}")
    array = numpy.vstack(arrays)
    first = 2 if csv_weights else 1
    if array.shape[1] <= first:
        raise UserError(f"the files of {directory} have no feature columns: the label comes first, without a header")
    if numpy.isnan(array[:, 0]).any():
        raise UserError(f"a label in {directory} is missing or not a number: the label comes first, without a header")
    return Table(array[:, first:], array[:, 0], array[:, 1] if csv_weights else None)

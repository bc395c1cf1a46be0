"""Scores a trained booster on held-out rows (label first) and writes evaluation.json."""

import json
import pathlib
import tarfile

import numpy
import xgboost

base = pathlib.Path("/opt/ml/processing")
with tarfile.open(base / "model" / "model.tar.gz") as archive:
    archive.extractall(base / "model")
booster = xgboost.Booster()
booster.load_model(base / "model" / "xgboost-model")
rows = numpy.loadtxt(base / "test" / "test.csv", delimiter=",")
predicted = booster.predict(xgboost.DMatrix(rows[:, 1:]))
worst = float(numpy.max(numpy.abs(predicted - rows[:, 0])))
print(f"rows: {len(rows)}  worst error: {worst:.0f}")
report = {"regression_metrics": {"max_error": {"value": worst}}}
(base / "evaluation" / "evaluation.json").write_text(json.dumps(report))

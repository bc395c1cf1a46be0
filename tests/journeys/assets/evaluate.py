"""Processing script: how far a trained model is off on the test data, as the pipeline's property file."""

import json
import pathlib
import pickle
import tarfile

import pandas
import xgboost

ROOT = pathlib.Path("/opt/ml/processing")


def main():
    with tarfile.open(ROOT / "model" / "model.tar.gz") as archive:
        archive.extractall(ROOT / "model")
    with open(ROOT / "model" / "xgboost-model", "rb") as file:
        model = pickle.load(file)
    table = pandas.concat(pandas.read_csv(path, header=None) for path in sorted((ROOT / "test").glob("*.csv")))
    error = (model.predict(xgboost.DMatrix(table.iloc[:, 1:].values)) - table.iloc[:, 0].values)
    report = {
        "regression_metrics": {
            "mse": {"value": float((error**2).mean()), "standard_deviation": float(error.std())},
            "max_error": {"value": float(abs(error).max())},
        }
    }
    print("evaluated", len(table), "rows:", json.dumps(report))
    (ROOT / "evaluation").mkdir(parents=True, exist_ok=True)
    (ROOT / "evaluation" / "evaluation.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()

"""Evaluation metrics that the XGBoost image has and the library does not.

The library is asked for what it knows; the rest is computed here with scikit-learn, per round, from the
predictions of the watched matrix.
"""

from .failure import UserError


def _labels(predictions, truth):
    """Class labels from whatever the objective predicts: probabilities, a row per class, or labels."""
    import numpy

    predictions = numpy.asarray(predictions)
    if predictions.ndim == 2:
        return predictions.argmax(axis=1)
    if len(predictions) > len(truth):
        return predictions.reshape(len(truth), -1).argmax(axis=1)
    if predictions.max(initial=0) > 1 or numpy.array_equal(predictions, predictions.astype(int)):
        return predictions.astype(int)
    return (predictions > 0.5).astype(int)


def _classifier(name, **options):
    def compute(truth, predictions):
        from sklearn import metrics
        return getattr(metrics, name)(truth, _labels(predictions, truth), **options)
    return compute


def _regressor(name):
    def compute(truth, predictions):
        from sklearn import metrics
        return getattr(metrics, name)(truth, predictions)
    return compute


CUSTOM = {
    "accuracy": _classifier("accuracy_score"),
    "balanced_accuracy": _classifier("balanced_accuracy_score"),
    "f1": _classifier("f1_score", average="macro"),
    "f1_binary": _classifier("f1_score", average="binary"),
    "f1_macro": _classifier("f1_score", average="macro"),
    "mse": _regressor("mean_squared_error"),
    "precision": _classifier("precision_score", zero_division=0),
    "precision_macro": _classifier("precision_score", average="macro", zero_division=0),
    "precision_micro": _classifier("precision_score", average="micro", zero_division=0),
    "r2": _regressor("r2_score"),
    "recall": _classifier("recall_score", zero_division=0),
    "recall_macro": _classifier("recall_score", average="macro", zero_division=0),
    "recall_micro": _classifier("recall_score", average="micro", zero_division=0),
}


def wanted(hyperparameters):
    """The metrics to report: those asked for and the one a tuning job watches, in that order."""
    names = list(hyperparameters.get("eval_metric", []))
    tuned = hyperparameters.get("_tuning_objective_metric")
    if tuned:
        names.append(tuned.split(":", 1)[1])
    return list(dict.fromkeys(names))


def split(names):
    """`(names the library computes, function for the rest or None)`."""
    own = [name for name in names if name in CUSTOM]
    if not own:
        return names, None

    def evaluate(predictions, matrix):
        truth = matrix.get_label()
        try:
            return [(name, float(CUSTOM[name](truth, predictions))) for name in own]
        except ValueError as error:
            raise UserError(f"cannot compute {own}: {error}") from error

    return [name for name in names if name not in CUSTOM], evaluate

"""`python -m tenantry_runtime.xgboost_train`: the training entry point of the sagemaker-xgboost image.

Without `sagemaker_program` it is the built-in algorithm: hyperparameters from hyperparameters.json, rows
from the channels train and validation, one model file `xgboost-model`, on one host or on several. With
it the user's script runs instead (`training_toolkit`).

The model file follows the image: up to 1.2 a pickled Booster, from 1.3 on the library's own format. A
metric line has the literal `#011` where the library writes a tab, because that is what SageMaker's metric
expressions look for. K-fold training, pipe mode and GPUs are not here and are refused by name.
"""

import inspect
import os
import pickle
import signal
import sys

from . import failure, layout, rendezvous, xgboost_cluster, xgboost_data, xgboost_hyperparameters, xgboost_metrics
from .failure import AlgorithmError, UserError

MODEL_NAME = "xgboost-model"
CHECKPOINT_NAME = "xgboost-checkpoint"
KEPT_CHECKPOINTS = 5
JOIN_SECONDS = 900
_CUSTOMER_ERRORS = ["label must be in [0,1]", "label must be in [0, num_class)", "feature_names mismatch",
                    "preds.size() == info.labels", "only contains pos or neg samples", "base_score must be in (0,1)",
                    "label must be nonnegative", "reg_lambda should be", "label set cannot be empty"]


def library_version():
    """`(1, 0)` for xgboost 1.0.2."""
    import xgboost
    return tuple(int(part) for part in xgboost.__version__.split(".")[:2])


def log(text):
    """One line to the job's log at once, so that metrics can be read while the job runs."""
    print(text, flush=True)


def save_model(booster, path):
    """Writes the model the way the image of this library version does, and never half of it."""
    partial = f"{path}.partial"
    if library_version() < (1, 3):
        with open(partial, "wb") as file:
            pickle.dump(booster, file, protocol=4)
    else:
        booster.save_model(partial)
    os.replace(partial, path)


class Rounds:
    """What happens after every boosting round: the metric line, a checkpoint, the model so far."""

    def __init__(self, first, checkpoints, model_path):
        self.first, self.checkpoints, self.model_path = first, checkpoints, model_path

    def after(self, booster, number, results):
        """`results` is a list of (name such as `train-rmse`, value)."""
        if xgboost_cluster.rank() == 0 and results:
            values = "".join(f"#011{name}:{value:.5f}" for name, value in results)
            log(f"[{number + self.first}]{values}")
        if self.checkpoints:
            self._checkpoint(booster, number + self.first)
        if self.model_path:
            save_model(booster, self.model_path)

    def _checkpoint(self, booster, number):
        path = os.path.join(self.checkpoints, f"{CHECKPOINT_NAME}.{number}")
        booster.save_model(path + ".partial")
        os.replace(path + ".partial", path)
        for old, _ in checkpoints_in(self.checkpoints)[:-KEPT_CHECKPOINTS]:
            os.unlink(old)

    def callback(self):
        """In the shape this library version calls."""
        import xgboost

        rounds = self
        if library_version() < (1, 3):
            return lambda env: rounds.after(env.model, env.iteration, [r[:2] for r in env.evaluation_result_list])

        class AfterRound(xgboost.callback.TrainingCallback):
            """Adapts the library's call to `Rounds.after`."""

            def after_iteration(self, model, epoch, evals_log):
                """Always false: it never stops the training."""
                results = [(f"{data}-{metric}", values[-1]) for data, metrics in evals_log.items()
                           for metric, values in metrics.items()]
                rounds.after(model, epoch, results)
                return False

        return AfterRound()


def checkpoints_in(directory):
    """`(path, round)` of the checkpoints, oldest first."""
    found = []
    for name in os.listdir(directory):
        stem, _, number = name.rpartition(".")
        if stem == CHECKPOINT_NAME and number.isdigit():
            found.append((os.path.join(directory, name), int(number)))
    return sorted(found, key=lambda pair: pair[1])


def _resume(directory):
    """`(checkpoint path or None, number of rounds already done)`."""
    if not directory:
        return None, 0
    os.makedirs(directory, exist_ok=True)
    found = checkpoints_in(directory)
    if not found:
        return None, 0
    path, number = found[-1]
    log(f"Checkpoint loaded from {path}, resuming from iteration {number + 1}")
    return path, number + 1


def fit(given, train, validation, is_master):
    """Trains and, on the master, saves. `train` and `validation` are matrices; the latter may be None."""
    import xgboost

    parameters = dict(given)
    rounds = parameters.pop("num_round")
    keep_model = parameters.pop("save_model_on_termination", "false") == "true" and is_master
    for name in ("csv_weights", "_tuning_objective_metric", "eval_metric"):
        parameters.pop(name, None)
    if "updater" in parameters:
        parameters["updater"] = ",".join(parameters["updater"])
    if "interaction_constraints" in parameters:
        parameters["interaction_constraints"] = str(parameters["interaction_constraints"])
    names, evaluate = xgboost_metrics.split(xgboost_metrics.wanted(given))
    if names:
        parameters["eval_metric"] = names
    model_dir = layout.model_dir()
    model_dir.mkdir(parents=True, exist_ok=True)
    model_path = str(model_dir / MODEL_NAME)
    checkpoints = layout.checkpoint_config().get("LocalPath")
    previous, done = _resume(checkpoints)
    after = Rounds(done, checkpoints if is_master else None, model_path if keep_model else None)
    if keep_model:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    options = {"evals": [(train, "train")] + ([(validation, "validation")] if validation is not None else []),
               "early_stopping_rounds": parameters.pop("early_stopping_rounds", None),
               "callbacks": [after.callback()], "verbose_eval": False, "xgb_model": previous}
    if evaluate:
        takes = inspect.signature(xgboost.train).parameters
        options["custom_metric" if "custom_metric" in takes else "feval"] = evaluate
    log(f"Train matrix has {train.num_row()} rows and {train.num_col()} columns")
    if validation is not None:
        log(f"Validation matrix has {validation.num_row()} rows")
    try:
        booster = xgboost.train(parameters, train, num_boost_round=max(rounds - done, 0), **options)
    except xgboost.core.XGBoostError as error:
        kind = UserError if any(text in str(error) for text in _CUSTOMER_ERRORS) else AlgorithmError
        raise kind(f"XGB train call failed with exception:\n {str(error)[:4000]}") from error
    if is_master:
        save_model(booster, model_path)
        log(f"Stored trained model at {model_path}")


def _channel(name, config, weights):
    channel = config.get(name, {})
    if channel.get("TrainingInputMode", "File") == "Pipe":
        raise UserError(f"channel {name}: pipe mode is not available here, use TrainingInputMode File")
    return xgboost_data.read(layout.channel_dir(name), channel.get("ContentType"), weights)


def _answer(reports):
    """What the first host tells all: who takes part, the width, whether to watch validation data."""
    active = sorted(host for host, report in reports.items() if report["rows"])
    errors = [f"{host}: {report['error']}" for host, report in sorted(reports.items()) if report["error"]]
    columns = max((report["columns"] for report in reports.values()), default=0)
    watched = bool(active) and all(reports[host]["validation"] for host in active)
    if active and not watched and any(reports[host]["validation"] for host in active):
        log("validation data is not on every host and is left out, use S3DataDistributionType FullyReplicated for it")
    return {"active": active, "columns": columns, "validation": watched, "errors": errors}


def _train_together(given, read, hosts, current):
    """Trains on all hosts that have rows; the first of them, in order of name, saves the model."""
    error = None
    try:
        table, validation = tables = read()
    except UserError as wrong:
        # Told to the others, who would else wait for this host until the job's time is over.
        table, validation = tables = None, None
        error = str(wrong)
    report = {"host": current, "error": error, "rows": 0 if table is None else len(table.label),
              "columns": max((t.features.shape[1] for t in tables if t is not None), default=0),
              "validation": validation is not None}
    hosts = sorted(hosts)
    log(f"Distributed node training with {len(hosts)} hosts: {hosts}, current host {current}")
    rendezvous.wait_for_names(hosts, JOIN_SECONDS)
    tracker = None

    def answer(reports):
        nonlocal tracker
        result = _answer(reports)
        if len(result["active"]) > 1 and not result["errors"]:
            tracker = xgboost_cluster.Tracker(hosts[0], len(result["active"]))
            result["worker_args"] = tracker.worker_args
        return result

    if current == hosts[0]:
        roll = rendezvous.lead(hosts, report, answer, JOIN_SECONDS)
    else:
        roll = rendezvous.join(hosts[0], report, JOIN_SECONDS)
    if roll["errors"]:
        raise UserError("; ".join(roll["errors"]))
    if not roll["active"]:
        raise UserError("No hosts received training data.")
    if table is None:
        log(f"Host {current} does not have data and takes no part in the training")
    else:
        train = table.dmatrix(roll["columns"])
        watched = validation.dmatrix(roll["columns"]) if roll["validation"] else None
        is_master = current == roll["active"][0]
        if len(roll["active"]) == 1:
            fit(given, train, watched, is_master)
        else:
            with xgboost_cluster.member(roll["worker_args"], roll["active"].index(current)):
                fit(given, train, watched, is_master)
    if tracker:
        tracker.wait()


def train():
    """The built-in algorithm; returns the exit code 0 or raises."""
    given = xgboost_hyperparameters.validate(layout.raw_hyperparameters())
    channels = layout.input_data_config()
    unknown = sorted(set(channels) - {"train", "validation", "code"})
    if channels and "train" not in channels:
        raise UserError("Missing required channel: train")
    if unknown:
        raise UserError(f"Extraneous channel found: {unknown[0]}, this algorithm has the channels train and validation")
    resources = layout.resource_config()
    weights = given.get("csv_weights") == 1

    def read():
        return _channel("train", channels, weights), _channel("validation", channels, weights)

    if len(resources["hosts"]) > 1:
        _train_together(given, read, resources["hosts"], resources["current_host"])
        return 0
    table, validation = tables = read()
    if table is None:
        raise UserError(f"No data in training channel path {layout.channel_dir('train')}")
    if "validation" in channels and validation is None:
        raise UserError(f"No data in validation channel path {layout.channel_dir('validation')}")
    columns = max(t.features.shape[1] for t in tables if t is not None)
    log("Single node training.")
    fit(given, table.dmatrix(columns), validation.dmatrix(columns) if validation else None, True)
    return 0


def main():
    """Picks algorithm mode or script mode and returns the exit code."""
    if "sagemaker_program" in layout.raw_hyperparameters() or os.environ.get("SAGEMAKER_PROGRAM"):
        from . import training_toolkit
        return training_toolkit.main()
    return failure.run(layout.output_dir(), train)


if __name__ == "__main__":
    sys.exit(main())

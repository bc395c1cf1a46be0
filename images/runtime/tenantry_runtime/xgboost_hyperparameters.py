"""The hyperparameters of the built-in XGBoost algorithm: names, types, ranges and what they demand.

They arrive as strings. A wrong one must end the job before any data is read, with the message people
know from the real container. Follows "XGBoost hyperparameters" in the SageMaker developer guide.
"""

import ast
import math

from .failure import UserError

MAXIMIZED = ["accuracy", "auc", "aucpr", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "map", "ndcg", "pre",
             "precision", "precision_macro", "precision_micro", "r2", "recall", "recall_macro", "recall_micro"]
MINIMIZED = ["aft-nloglik", "cox-nloglik", "error", "gamma-deviance", "gamma-nloglik", "interval-regression-accuracy",
             "logloss", "mae", "mape", "merror", "mlogloss", "mphe", "mse", "poisson-nloglik", "rmse", "rmsle",
             "tweedie-nloglik"]
METRICS = MAXIMIZED + MINIMIZED
OBJECTIVES = ["binary:logistic", "binary:logitraw", "binary:hinge", "count:poisson", "multi:softmax",
              "multi:softprob", "rank:pairwise", "rank:ndcg", "rank:map", "reg:linear", "reg:squarederror",
              "reg:logistic", "reg:gamma", "reg:pseudohubererror", "reg:squaredlogerror", "reg:absoluteerror",
              "reg:tweedie", "survival:aft", "survival:cox"]
UPDATERS = ["grow_colmaker", "distcol", "grow_histmaker", "grow_skmaker", "grow_quantile_histmaker", "sync",
            "refresh", "prune", "shotgun", "coord_descent"]
ALIASES = {"learning_rate": "eta", "min_split_loss": "gamma", "reg_lambda": "lambda", "reg_alpha": "alpha"}


class Interval:
    """A numeric range; `"[0, 1)"` includes 0 and excludes 1, an end may be `-inf` or `+inf`."""

    def __init__(self, text):
        low, high = text[1:-1].split(",")
        self.text = text
        self.low, self.high = float(low), float(high)
        self.low_open, self.high_open = text[0] == "(", text[-1] == ")"

    def __contains__(self, value):
        if math.isnan(value):
            return False
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    def __str__(self):
        return self.text


def _integers(text, *names):
    return {name: (int, Interval(text)) for name in names}


def _floats(text, *names):
    return {name: (float, Interval(text)) for name in names}


def _words(name, *words):
    return {name: (str, list(words))}


def _comma_list(value):
    return [part.strip() for part in str(value).split(",")]


def _literal(value):
    try:
        return ast.literal_eval(value) if isinstance(value, str) else value
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from error


_TABLE = {
    **_integers("[1, +inf)", "num_round", "early_stopping_rounds", "nthread", "prob_buffer_row", "_num_cv_round"),
    **_integers("[2, +inf)", "num_class", "_kfold"),
    **_integers("[0, 1]", "csv_weights", "refresh_leaf", "one_drop", "silent"),
    **_integers("[0, 3]", "verbosity"),
    **_integers("[0, +inf)", "max_depth", "max_leaves", "max_bin"),
    **_integers("(-inf, +inf)", "seed"),
    **_integers("[1, +inf)", "num_parallel_tree"),
    **_floats("[0, 1]", "eta", "rate_drop", "skip_drop", "lambda_bias"),
    **_floats("[0, +inf)", "gamma", "min_child_weight", "max_delta_step", "lambda", "alpha", "base_score",
              "aft_loss_distribution_scale"),
    **_floats("(0, 1]", "subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode"),
    **_floats("(0, 1)", "sketch_eps"),
    **_floats("(0, +inf)", "scale_pos_weight"),
    **_floats("(1, 2)", "tweedie_variance_power"),
    **_floats("(-inf, +inf)", "huber_slope"),
    **_words("booster", "gbtree", "gblinear", "dart"),
    **_words("tree_method", "auto", "exact", "approx", "hist", "gpu_hist"),
    **_words("predictor", "auto", "cpu_predictor", "gpu_predictor"),
    **_words("process_type", "default", "update"),
    **_words("grow_policy", "depthwise", "lossguide"),
    **_words("dsplit", "row", "col"),
    **_words("sample_type", "uniform", "weighted"),
    **_words("normalize_type", "tree", "forest"),
    **_words("sampling_method", "uniform", "gradient_based"),
    **_words("single_precision_histogram", "true", "false"),
    **_words("deterministic_histogram", "true", "false"),
    **_words("save_model_on_termination", "true", "false"),
    **_words("use_dask_gpu_training", "true", "false"),
    **_words("aft_loss_distribution", "normal", "logistic", "extreme"),
    **_words("objective", *OBJECTIVES),
    "updater": (_comma_list, UPDATERS),
    "eval_metric": (_comma_list, METRICS),
    "_tuning_objective_metric": (str, None),
    "monotone_constraints": (_literal, [-1, 0, 1]),
    "interaction_constraints": (_literal, Interval("[0, +inf)")),
}


def _check_metric(metric):
    name, separator, threshold = metric.partition("@")
    if not separator:
        return metric in METRICS
    if name not in ("error", "ndcg", "map"):
        raise UserError(f"Metric '{metric}' is not supported. Parameter 'eval_metric' with customized threshold "
                        "should be one of these options: 'error', 'ndcg', 'map'.")
    try:
        float(threshold.rstrip("-"))
    except ValueError:
        raise UserError(f"Threshold value 't' in '{name}@t' expects float input.") from None
    return True


def _check_range(name, value, allowed):
    if name == "_tuning_objective_metric":
        channel, _, metric = value.partition(":")
        good = channel in ("train", "validation") and _check_metric(metric)
        allowed = [f"{c}:{m}" for c in ("train", "validation") for m in METRICS]
    elif name == "eval_metric":
        good = all(_check_metric(metric) for metric in value)
    elif name in ("updater", "monotone_constraints"):
        good = isinstance(value, (list, tuple)) and all(part in allowed for part in value)
    elif name == "interaction_constraints":
        good = isinstance(value, (list, tuple)) and all(
            isinstance(group, (list, tuple)) and all(isinstance(i, int) and i in allowed for i in group)
            for group in value)
    else:
        good = value in allowed
    if not good:
        raise UserError(f"Hyperparameter {name}: {value} is not in {allowed}")


def _check_together(given):
    objective = given.get("objective", "reg:squarederror")
    if objective in ("multi:softmax", "multi:softprob") and "num_class" not in given:
        raise UserError("Require input for parameter 'num_class' for multi-classification")
    if "auc" in given.get("eval_metric", []) and not objective.startswith(("binary:", "rank:", "multi:", "reg:log")):
        raise UserError("Metric 'auc' can only be applied for classification and ranking problems.")
    if "aft-nloglik" in given.get("eval_metric", []) and objective != "survival:aft":
        raise UserError("Metric 'aft-nloglik' can only be applied for 'survival:aft' objective.")
    if "monotone_constraints" in given and given.get("tree_method") not in ("exact", "hist"):
        raise UserError("monotone_constraints can be used only when the tree_method parameter is set to either "
                        "'exact' or 'hist'.")
    if "interaction_constraints" in given and given.get("tree_method") not in ("exact", "hist", "approx"):
        raise UserError("interaction_constraints can be used only when the tree_method parameter is set to either "
                        "'exact', 'hist' or 'approx'.")
    if given.get("process_type") == "update" and set(given.get("updater", [])) - {"refresh", "prune"}:
        raise UserError("process_type 'update' can only be used with updater 'refresh' and 'prune'")
    if given.get("booster") == "gblinear" and given.get("updater", ["shotgun"]) not in (["shotgun"], ["coord_descent"]):
        raise UserError("Linear updater should be one of these options: 'shotgun', 'coord_descent'.")
    if given.get("tree_method") == "gpu_hist" or given.get("predictor") == "gpu_predictor":
        raise UserError("this host trains on CPU only, use another tree_method than 'gpu_hist' and another "
                        "predictor than 'gpu_predictor'")
    for name in ("_kfold", "use_dask_gpu_training"):
        if given.get(name) not in (None, "false"):
            raise UserError(f"hyperparameter {name} is not available here, remove it")


def validate(strings):
    """Typed hyperparameters from the job's strings; raises UserError naming the first wrong one."""
    values = {ALIASES.get(name, name): value for name, value in strings.items()}
    if "num_round" not in values:
        raise UserError("Missing required hyperparameter: num_round")
    typed = {}
    for name, value in values.items():
        if name not in _TABLE:
            raise UserError(f"Extraneous hyperparameter found: {name}")
        if isinstance(value, str):
            value = value.strip().strip('"')
        try:
            typed[name] = _TABLE[name][0](value)
        except (ValueError, TypeError):
            raise UserError(f"Hyperparameter {name}: could not parse value (caused by ValueError)") from None
    for name, value in typed.items():
        _check_range(name, value, _TABLE[name][1])
    _check_together(typed)
    return typed

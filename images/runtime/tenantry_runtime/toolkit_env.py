"""The SM_* variables and command line that a script-mode program is started with.

Follows "Environment variables" of the SageMaker training toolkit's documentation. Values that are lists or
objects are JSON, booleans are `true` and `false`, nothing is the empty string.
"""

import json
import os

from . import layout

# Hyperparameters that configure the toolkit itself and are not passed to the program.
_RESERVED = {"sagemaker_submit_directory", "sagemaker_program", "sagemaker_enable_cloudwatch_metrics",
             "sagemaker_container_log_level", "sagemaker_job_name", "sagemaker_region", "sagemaker_instance_type"}


def is_reserved(name):
    """Whether a hyperparameter is for the toolkit or a launcher rather than for the program."""
    return name in _RESERVED or name.startswith(("sagemaker_", "_tuning_objective_metric"))


def arguments(hyperparameters):
    """`["--epochs", "3", "-k", "v"]`, in order of name; None stands for a bare switch."""
    result = []
    for name in sorted(hyperparameters):
        value = hyperparameters[name]
        result.append(("-" if len(name) == 1 else "--") + name)
        if isinstance(value, dict):
            result.append(",".join(f"{key}={value[key]}" for key in sorted(value)))
        elif value is not None:
            result.append(str(value))
    return result


def _text(value):
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True)


def _gpus():
    """GPUs the platform gave this job, as it lists them; none when it lists none."""
    visible = os.environ.get("NVIDIA_VISIBLE_DEVICES") or os.environ.get("CUDA_VISIBLE_DEVICES") or ""
    return len([part for part in visible.split(",") if part.strip() not in ("", "none", "void", "-1")])


def variables(hyperparameters, program, submit_directory):
    """All SM_* variables; `hyperparameters` are decoded and still hold the reserved ones."""
    root = layout.root()
    resources = layout.resource_config()
    channels = layout.input_data_config()
    own = {name: value for name, value in hyperparameters.items() if not is_reserved(name)}
    launcher = {name: value for name, value in hyperparameters.items()
                if is_reserved(name) and name not in _RESERVED}
    level = hyperparameters.get("sagemaker_container_log_level", 20)
    module = program[:-3] if program.endswith(".py") else program
    values = {
        "hosts": resources["hosts"], "current_host": resources["current_host"],
        "network_interface_name": resources["network_interface_name"],
        "current_instance_type": resources.get("current_instance_type", ""),
        "current_instance_group": resources.get("current_group_name", "homogeneousCluster"),
        "is_master": resources["current_host"] == sorted(resources["hosts"])[0],
        "master_hostname": sorted(resources["hosts"])[0], "host_count": len(resources["hosts"]),
        "hps": own, "framework_params": launcher, "resource_config": resources, "input_data_config": channels,
        "output_data_dir": str(root / "output" / "data"), "output_dir": str(root / "output"),
        "output_intermediate_dir": str(root / "output" / "intermediate"),
        "model_dir": str(layout.model_dir()), "input_dir": str(root / "input"),
        "input_config_dir": str(root / "input" / "config"), "channels": sorted(channels),
        "num_cpus": os.cpu_count() or 1, "num_gpus": _gpus(), "num_neurons": 0,
        "module_name": module, "module_dir": submit_directory, "user_entry_point": program,
        "framework_module": "tenantry_runtime.training_toolkit", "log_level": level,
        "job_name": hyperparameters.get("sagemaker_job_name") or os.environ.get("TRAINING_JOB_NAME", ""),
        "user_args": arguments(own),
    }
    env = {f"SM_{name.upper()}": _text(value) for name, value in values.items()}
    for channel in channels:
        env[f"SM_CHANNEL_{channel.upper().replace('-', '_')}"] = str(layout.channel_dir(channel))
    for name, value in own.items():
        env[f"SM_HP_{name.upper().replace('-', '_')}"] = _text(value)
    training_env = dict(values, hyperparameters=own, additional_framework_parameters=launcher,
                        channel_input_dirs={channel: str(layout.channel_dir(channel)) for channel in channels})
    for name in ("hps", "framework_params", "user_args", "channels"):
        training_env.pop(name)
    env["SM_TRAINING_ENV"] = _text(training_env)
    return env

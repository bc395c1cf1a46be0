"""The XGBoost library's own collective, in the four shapes it had between 0.90 and 3.x.

Up to 1.6 a Python tracker and `xgboost.rabit`; 1.7 to 2.0 the same tracker and `xgboost.collective`; from
2.1 a native tracker. 0.90 ships its tracker as loose files. Nothing else in the package looks at these.
"""

import contextlib
import importlib.util
import inspect
import os
from pathlib import Path

from .failure import AlgorithmError

FIRST_PORT, LAST_PORT = 9099, 9199


def _tracker_class():
    try:
        from xgboost.tracker import RabitTracker
        return RabitTracker
    except ImportError:
        import xgboost

    path = Path(xgboost.__file__).parent / "dmlc-core" / "tracker" / "dmlc_tracker" / "tracker.py"
    if not path.is_file():
        raise AlgorithmError("this image's XGBoost has no tracker for several hosts, use one host or a later version")
    spec = importlib.util.spec_from_file_location("dmlc_tracker", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.RabitTracker


class Tracker:
    """Started on the first host; `worker_args` is what every worker needs to find it."""

    def __init__(self, host, workers):
        kind = _tracker_class()
        parameters = inspect.signature(kind.__init__).parameters
        names = {"hostIP": host, "host_ip": host, "nslave": workers, "n_workers": workers, "use_logger": False}
        known = {name: value for name, value in names.items() if name in parameters}
        self.native = "sortby" in parameters and hasattr(kind, "worker_args")
        if self.native:
            known["sortby"] = "task"
        elif "port_end" in parameters:
            known.update(port=FIRST_PORT, port_end=LAST_PORT)
        self.tracker = kind(**known)
        if self.native:
            self.tracker.start()
            self.worker_args = self.tracker.worker_args()
        else:
            envs = self.tracker.worker_envs() if hasattr(self.tracker, "worker_envs") else self.tracker.slave_envs()
            self.tracker.start(workers)
            self.worker_args = {**envs, "DMLC_NUM_WORKER": workers}

    def wait(self):
        """Returns when every worker has left."""
        if self.native:
            self.tracker.wait_for()
        else:
            # Not the tracker's own join: in 0.90 it calls a thread method that Python no longer has.
            self.tracker.thread.join()


def _collective():
    try:
        from xgboost import collective
        return collective
    except ImportError:
        from xgboost import rabit
        return rabit


def rank():
    """This worker's number; 0 outside a cluster."""
    return _collective().get_rank()


@contextlib.contextmanager
def member(worker_args, task):
    """Within it the library trains together with the other workers."""
    module = _collective()
    if module.__name__.endswith("rabit"):
        os.environ["DMLC_TASK_ID"] = str(task)
        module.init([f"{name}={value}".encode() for name, value in worker_args.items()])
    else:
        args = {name: value for name, value in worker_args.items() if name != "DMLC_NUM_WORKER"}
        key = "dmlc_task_id" if "dmlc_tracker_uri" in args else "DMLC_TASK_ID"
        module.init(**args, **{key: str(task)})
    try:
        yield
    finally:
        module.finalize()

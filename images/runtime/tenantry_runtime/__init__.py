"""The conventions of SageMaker's containers, written down as a package.

An image URI is mapped by `images/*.toml` to a plain Python environment; what made the real image more
than an environment (reading /opt/ml, starting the user's script, answering on port 8080) is here. The
package runs inside the sandbox as the job's own user, so nothing in it is trusted by the platform.

It imports only the standard library at import time: xgboost, numpy, torch and so on are imported where
they are used, because each image has only some of them.
"""

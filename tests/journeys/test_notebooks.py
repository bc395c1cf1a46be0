"""The tenants' journey as people work: three notebooks, one after the other, in the session that Studio gives."""

import json
import os
import subprocess
import sys

import pytest

from conftest import BINARY, REGION, ROOT, Platform
from tenants import ASSETS, denial

NOTEBOOKS = ROOT / "tests" / "journeys" / "notebooks"
# The SDK replaces the kernel's tracebacks by pictures of its own, so what a cell raised is taken from the kernel's reply.
RUN = """
import sys, nbclient, nbformat
def note(cell, execute_reply, **_):
    content = execute_reply["content"]
    cell["metadata"]["raised"] = [content["ename"], content["evalue"]]
notebook = nbformat.read(sys.argv[1], as_version=4)
client = nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": sys.argv[2]}}, on_cell_error=note)
try:
    client.execute()
finally:
    nbformat.write(notebook, sys.argv[3])
"""


class Desk:
    """Where the notebooks run: `tenantry exec` with a profile of the execution role, whose session is named SageMaker."""

    def __init__(self, platform, home):
        self.instance, self.home = platform.instance, home
        # The interpreter of the tests is also the kernels'; where people keep their settings is a place of the test's own.
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JUPYTER_"))} | {
            "AWS_CONFIG_FILE": str(home / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
            "IPYTHONDIR": str(home / "ipython"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "PYTHONWARNINGS": "ignore",
        }
        role = ["--account", platform.account, "--role", platform.ROLE, "--session", "SageMaker"]
        self.tenantry("profile", "write", "studio", "--data", self.instance.data, *role)

    def tenantry(self, *words):
        done = subprocess.run([BINARY, *words], env=self.environment, capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def run(self, name):
        """Runs a notebook to its end; returns its code cells. A cell that raises without being tagged so fails."""
        out = self.home / name
        command = [sys.executable, "-c", RUN, NOTEBOOKS / name, ASSETS, out]
        self.tenantry("exec", "--data", self.instance.data, "--region", REGION, "--profile", "studio", "--", *command)
        return [cell for cell in json.loads(out.read_text())["cells"] if cell["cell_type"] == "code"]


def text_of(cell):
    """What the cell printed on standard output."""
    return "".join("".join(output["text"]) for output in cell["outputs"] if output.get("name") == "stdout")


def errors_of(cells):
    """(number of the code cell, class, message) of those that raised."""
    return [(number, *cell["metadata"]["raised"]) for number, cell in enumerate(cells) if "raised" in cell["metadata"]]


@pytest.fixture
def desk(own_instance, tmp_path):
    platform = Platform(own_instance)
    return Desk(platform, tmp_path), platform


def test_the_notebooks_in_order(desk):
    desk, platform = desk
    account = platform.account

    cells = desk.run("00-create-pipelines.ipynb")
    assert errors_of(cells) == []
    assert f"role {platform.role}\nbucket sagemaker-{REGION}-{account}\n" in text_of(cells[0])
    names = ["tenant1-app1", "tenant1-app2", "tenant2-app1", "tenant2-app2"]
    assert [line for line in text_of(cells[1]).splitlines() if line.startswith("created")] == [f"created {name}" for name in names]
    assert text_of(cells[-1]).splitlines() == [f"{name} {name.replace('-', ' ')}" for name in names]

    cells = desk.run("01-start-pipelines.ipynb")
    refusals = errors_of(cells)
    [without_tag, of_tenant2] = refusals
    assert without_tag[0] == 3 and without_tag[1] == "ClientError"
    assert without_tag[2].startswith(
        "An error occurred (AccessDenied) when calling the AssumeRole operation: User: "
        f"arn:aws:sts::{account}:assumed-role/{platform.ROLE}/SageMaker is not authorized to perform: sts:AssumeRole on resource: "
        f"arn:aws:iam::{account}:role/NotebookStartRole"
    )
    user = f"arn:aws:sts::{account}:assumed-role/NotebookStartRole/tenant1"
    assert f"Assumed role ARN: {user}" in text_of(cells[4])
    assert f"arn:aws:sagemaker:{REGION}:{account}:pipeline/tenant1-app1/execution/" in text_of(cells[4])
    pipeline = f"arn:aws:sagemaker:{REGION}:{account}:pipeline/tenant2-app1"
    sentence = denial("StartPipelineExecution", user, "sagemaker:StartPipelineExecution", pipeline)
    assert of_tenant2 == (5, "ClientError", sentence)

    cells = desk.run("02-inference.ipynb")
    assert text_of(cells[1]).startswith("Succeeded"), text_of(cells[1])
    endpoint = next(line.split()[1] for line in text_of(cells[2]).splitlines() if line.startswith("endpoint "))
    assert text_of(cells[2]).rstrip().endswith("InService")
    [value] = json.loads(text_of(cells[4]).splitlines()[-1])
    assert 200_000 < value < 800_000
    user = f"arn:aws:sts::{account}:assumed-role/NotebookInvokeRole/tenant1"
    assert errors_of(cells) == [(5, "ClientError", denial("InvokeEndpoint", user, "sagemaker:InvokeEndpoint", endpoint))]
    assert text_of(cells[6]) == "deleted\n"

    # Whoever runs the second again finds the policy and the role that are there, and the same refusals.
    again = desk.run("01-start-pipelines.ipynb")
    assert errors_of(again) == refusals
    assert f"there already: arn:aws:iam::{account}:policy/NotebookStartPolicy" in text_of(again[1])
    assert f"there already: arn:aws:iam::{account}:role/NotebookStartRole" in text_of(again[2])

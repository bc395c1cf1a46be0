"""The sentences that the tiny translator learns: colours and numbers from English to German, with the task as prefix."""

import itertools
import json
import pathlib

COLOURS = {"red": "rot", "green": "grün", "blue": "blau", "white": "weiß", "black": "schwarz", "yellow": "gelb"}
NUMBERS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}
TASK = "translate :"


def pairs():
    """All of a number and a colour, word by word."""
    for (number, eins), (colour, rot) in itertools.product(NUMBERS.items(), COLOURS.items()):
        yield f"{TASK} {number} {colour}", f"{eins} {rot}"


def write(directory):
    """Writes train.jsonl and returns its path."""
    path = pathlib.Path(directory) / "train.jsonl"
    path.write_text("".join(json.dumps({"source": source, "target": target}) + "\n" for source, target in pairs()))
    return str(path)

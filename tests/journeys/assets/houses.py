"""Sample data of the tenants: houses with a price, made up by a rule and some noise, the same for the same seed."""

import csv
import pathlib
import random

FEATURES = ["year", "area", "bedrooms", "bathrooms", "lot", "garages"]


def rows(count, seed):
    """Rows of price and FEATURES, the price first as the built-in XGBoost wants it."""
    dice = random.Random(seed)
    for _ in range(count):
        year, area = dice.randint(1980, 2020), dice.randint(1500, 4000)
        bedrooms, bathrooms = dice.randint(2, 6), dice.randint(2, 8) / 2
        lot, garages = round(dice.uniform(0.5, 1.5), 2), dice.randint(0, 3)
        worth = 140 * area + 10_000 * bedrooms + 12_000 * bathrooms + 20_000 * lot + 7_000 * garages + 800 * (year - 1980)
        yield [round(worth + dice.uniform(-5_000, 5_000), 2), year, area, bedrooms, bathrooms, lot, garages]


def write(directory, sizes=(("train", 300), ("validation", 80), ("test", 80))):
    """Writes NAME/NAME.csv for each size below the directory and returns it."""
    for seed, (name, count) in enumerate(sizes):
        place = pathlib.Path(directory) / name
        place.mkdir(parents=True, exist_ok=True)
        with open(place / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows(count, seed))
    return str(directory)

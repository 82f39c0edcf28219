"""Probabilistic seismic hazard for a few places: rates, ground motion, and which earthquakes the hazard comes from.

The ground-motion model is Campbell (1981), peak ground acceleration in g. The earthquake rates are made up for this example: they
are of the right size, and no hazard of any place.
"""

import math
from dataclasses import dataclass
from functools import cache

SIGMA = 0.372
MAGNITUDES = [5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0]
DISTANCES = [0, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200]
# Standard deviations above the median ground motion.
EPSILONS = [(-math.inf, -1.0), (-1.0, 0.0), (0.0, 1.0), (1.0, 2.0), (2.0, math.inf)]
RETURN_PERIODS = [25, 50, 100, 250, 475, 1000, 2475]


@dataclass(frozen=True)
class Place:
    """What shakes a place: earthquakes anywhere within 200 km, and one fault."""

    background: float  # earthquakes of magnitude 5 or more a year within 200 km
    fault_magnitude: float
    fault_distance: float  # km
    fault_years: float  # between two of its earthquakes


PLACES = {
    "Auckland": Place(0.02, 6.8, 45, 9000),
    "Christchurch": Place(0.25, 7.2, 38, 2600),
    "Dunedin": Place(0.04, 7.0, 18, 7000),
    "Wellington": Place(0.9, 7.4, 6, 900),
}


@dataclass(frozen=True)
class Contribution:
    """The share of one cell in the hazard, and of each epsilon in it, in percent."""

    magnitude: float  # middle of its bin
    distance: float  # middle of its bin, km
    share: float
    epsilons: tuple


def median(magnitude, distance):
    """ln of the median peak ground acceleration in g."""
    return -4.141 + 0.868 * magnitude - 1.09 * math.log(distance + 0.0606 * math.exp(0.7 * magnitude))


def above(epsilon):
    """The probability that a normal variable is greater."""
    return 0.5 * math.erfc(epsilon / math.sqrt(2))


@cache
def earthquakes(name):
    """Every (magnitude, distance in km, rate a year) that counts for a place."""
    place = PLACES[name]
    found = []
    # The background: Gutenberg-Richter with b = 1 from 5.0 to 7.2, evenly over the disc, 10 km deep.
    greatest, step = 7.2, 0.1
    whole = 1 - 10 ** -(greatest - 5)
    for index in range(round((greatest - 5) / step)):
        low = 5 + index * step
        share = (10 ** -(low - 5) - 10 ** -(low + step - 5)) / whole
        for ring in range(0, 195, 5):
            area = ((ring + 5) ** 2 - ring**2) / 195**2
            found.append((low + step / 2, math.hypot(ring + 2.5, 10), place.background * share * area))
    # The fault breaks as a whole, give or take a quarter of a magnitude.
    for offset, share in [(-0.2, 0.1), (-0.1, 0.2), (0.0, 0.4), (0.1, 0.2), (0.2, 0.1)]:
        found.append((place.fault_magnitude + offset, place.fault_distance, share / place.fault_years))
    return found


def rate(name, acceleration):
    """How often a year the ground moves more than this, in g."""
    wanted = math.log(acceleration)
    return sum(often * above((wanted - median(m, r)) / SIGMA) for m, r, often in earthquakes(name))


@cache
def acceleration(name, years):
    """What is exceeded once in so many years on average, in g."""
    low, high = math.log(1e-5), math.log(5)
    for _ in range(60):
        middle = (low + high) / 2
        if rate(name, math.exp(middle)) > 1 / years:
            low = middle
        else:
            high = middle
    return math.exp(low)


@cache
def disaggregation(name, years):
    """Where the hazard comes from: a contribution for each bin of magnitude and distance that has one."""
    wanted = math.log(acceleration(name, years))
    cells = {}
    for magnitude, distance, often in earthquakes(name):
        place = (min(int((magnitude - 5) / 0.5), len(MAGNITUDES) - 2), min(int(distance / 20), len(DISTANCES) - 2))
        cell = cells.setdefault(place, [0.0] * len(EPSILONS))
        needed = (wanted - median(magnitude, distance)) / SIGMA
        for index, (low, high) in enumerate(EPSILONS):
            if high > needed:
                cell[index] += often * (above(max(low, needed)) - above(high))
    total = sum(map(sum, cells.values()))
    return [
        Contribution(
            MAGNITUDES[m] + 0.25,
            DISTANCES[r] + 10,
            100 * sum(cell) / total,
            tuple(100 * part / total for part in cell),
        )
        for (m, r), cell in sorted(cells.items())
    ]


def mean(contributions):
    """The mean magnitude and distance."""
    return (
        sum(one.magnitude * one.share for one in contributions) / 100,
        sum(one.distance * one.share for one in contributions) / 100,
    )

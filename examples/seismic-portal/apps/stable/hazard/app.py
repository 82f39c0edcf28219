"""Hazard 1.4: how strongly the ground may shake, as a curve over the return period."""

import math
from urllib.parse import unquote

from flask import Flask, abort, jsonify, render_template, request
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)

# Earthquakes of magnitude 5 or more a year within 200 km. Made up for this example, of the right size.
PLACES = {"Auckland": 0.02, "Christchurch": 0.25, "Dunedin": 0.04, "Wellington": 0.9}
PERIODS = [25, 50, 100, 250, 475, 1000, 2475]
SIGMA = 0.372


def median(magnitude, distance):
    """ln of the median peak ground acceleration in g (Campbell, 1981)."""
    return -4.141 + 0.868 * magnitude - 1.09 * math.log(distance + 0.0606 * math.exp(0.7 * magnitude))


def rate(place, acceleration):
    """How often a year the ground moves more than this: Gutenberg-Richter with b = 1 up to 7.2, evenly over the disc, 10 km deep."""
    total = 0.0
    for step in range(22):
        low = 5 + step / 10
        share = (10 ** (5 - low) - 10 ** (4.9 - low)) / (1 - 10**-2.2)
        for ring in range(0, 200, 10):
            area = ((ring + 10) ** 2 - ring**2) / 200**2
            epsilon = (math.log(acceleration) - median(low + 0.05, math.hypot(ring + 5, 10))) / SIGMA
            total += share * area * 0.5 * math.erfc(epsilon / math.sqrt(2))
    return PLACES[place] * total


def acceleration(place, years):
    low, high = 1e-5, 5.0
    for _ in range(40):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if rate(place, middle) > 1 / years else (low, middle)
    return low


def on_chart(years, value):
    """A point of the curve on the chart's 640 by 300: both axes logarithmic, 10 to 5000 years and 0.001 to 1 g."""
    return (
        60 + 560 * (math.log10(years) - 1) / (math.log10(5000) - 1),
        20 + 240 * -math.log10(value) / 3,
    )


@app.get("/")
def index():
    place = request.args.get("place", "Wellington")
    if place not in PLACES:
        abort(404)
    curve = [(years, acceleration(place, years)) for years in PERIODS]
    return render_template(
        "index.html",
        user=unquote(request.headers.get("X-Auth-Name", "")),
        place=place,
        places=sorted(PLACES),
        curve=curve,
        points=[on_chart(*point) for point in curve],
        years=[(on_chart(years, 1)[0], years) for years in (10, 100, 1000)],
        levels=[(on_chart(10, level)[1], level) for level in (0.001, 0.01, 0.1, 1)],
    )


@app.get("/curve.json")
def as_json():
    place = request.args.get("place", "Wellington")
    if place not in PLACES:
        abort(404)
    points = [{"years": years, "acceleration_g": acceleration(place, years)} for years in PERIODS]
    return jsonify(place=place, version="1.4", points=points)


@app.get("/health")
def health():
    return jsonify(status="ok", version="1.4")

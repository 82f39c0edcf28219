"""Hazard 2.0: how strongly the ground may shake, and which earthquakes that comes from."""

from urllib.parse import unquote

from flask import Flask, abort, jsonify, render_template, request
from werkzeug.middleware.proxy_fix import ProxyFix

import model
from chart import chart

app = Flask(__name__)
# As Flask's documentation has it for an application behind a proxy that serves it below a path.
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)


def asked():
    """The place and the return period that the query names."""
    place = request.args.get("place", "Wellington")
    years = request.args.get("years", 475, type=int)
    if place not in model.PLACES or years not in model.RETURN_PERIODS:
        abort(404)
    return place, years


@app.get("/")
def index():
    place, years = asked()
    contributions = model.disaggregation(place, years)
    greatest = max(contributions, key=lambda one: one.share)
    return render_template(
        "index.html",
        user=unquote(request.headers.get("X-Auth-Name", "")),
        place=place,
        years=years,
        places=sorted(model.PLACES),
        periods=model.RETURN_PERIODS,
        acceleration=model.acceleration(place, years),
        contributions=contributions,
        mean=model.mean(contributions),
        greatest=greatest,
        chart=chart(contributions),
        epsilons=["below −1", "−1 to 0", "0 to 1", "1 to 2", "above 2"],
    )


@app.get("/disaggregation.json")
def as_json():
    place, years = asked()
    rows = [
        {"magnitude": one.magnitude, "distance_km": one.distance, "percent": one.share, "by_epsilon": one.epsilons}
        for one in model.disaggregation(place, years)
    ]
    return jsonify(
        place=place, years=years, version="2.0", acceleration_g=model.acceleration(place, years), contributions=rows
    )


@app.get("/health")
def health():
    return jsonify(status="ok", version="2.0")

"""Hazard: spectral acceleration for a place, from a small table. An ordinary Flask application with a JSON API and one page."""

import argparse
import logging
import os

from flask import Flask, jsonify, render_template_string, request

app = Flask(__name__)

# Hazard factor Z by place, and the return-period factor R by years.
PLACES = {"auckland": 0.13, "wellington": 0.40, "christchurch": 0.30, "dunedin": 0.13, "queenstown": 0.32}
RETURN_FACTORS = {25: 0.25, 50: 0.35, 100: 0.5, 250: 0.75, 500: 1.0, 1000: 1.3, 2500: 1.8}

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Hazard</title></head>
<body>
<h1>Hazard</h1>
<form action="curve"><label>Place <select name="place">
{% for place in places %}<option>{{ place }}</option>
{% endfor %}</select></label> <button>Curve</button></form>
</body>
</html>
"""


@app.get("/")
def index():
    return render_template_string(PAGE, places=sorted(PLACES))


@app.get("/curve")
def curve():
    place = request.args.get("place", "").strip().lower()
    if place not in PLACES:
        return jsonify(error="unknown place", places=sorted(PLACES)), 404
    points = [{"years": years, "pga": round(PLACES[place] * factor, 3)} for years, factor in RETURN_FACTORS.items()]
    return jsonify(place=place, points=points)


@app.post("/compare")
def compare():
    body = request.get_json(silent=True)
    wanted = body.get("places") if isinstance(body, dict) else None
    if not isinstance(wanted, list) or not all(isinstance(place, str) and place in PLACES for place in wanted):
        return jsonify(error="places must be a list of known places", places=sorted(PLACES)), 400
    return jsonify({place: PLACES[place] for place in wanted})


@app.get("/health")
def health():
    return jsonify(app="hazard", status="ok")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Hazard")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "5003")))
    arguments = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run(host="127.0.0.1", port=arguments.port, threaded=True)

"""Maps: a small catalogue of map layers. An ordinary Flask application; it serves its routes at / and knows nothing of a gateway."""

import argparse
import logging
import os

from flask import Flask, abort, jsonify, render_template_string, request

app = Flask(__name__)

LAYERS = {
    "faults": {"title": "Active faults", "features": 567, "updated": "2025-03-11"},
    "stations": {"title": "Recording stations", "features": 284, "updated": "2025-06-02"},
    "basins": {"title": "Sedimentary basins", "features": 39, "updated": "2024-11-20"},
}

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Maps</title></head>
<body>
<h1>Maps</h1>
<ul>
{% for key, layer in layers.items() %}<li><a href="layers/{{ key }}">{{ layer.title }}</a> ({{ layer.features }} features)</li>
{% endfor %}</ul>
</body>
</html>
"""


@app.get("/")
def index():
    return render_template_string(PAGE, layers=LAYERS)


@app.get("/layers")
def layers():
    return jsonify(LAYERS)


@app.get("/layers/<name>")
def layer(name):
    if name not in LAYERS:
        abort(404)
    return jsonify(name=name, **LAYERS[name])


@app.get("/search")
def search():
    """Layers whose title holds the words asked for."""
    words = request.args.get("q", "").lower().split()
    found = {key: value for key, value in LAYERS.items() if all(word in value["title"].lower() for word in words)}
    return jsonify(query=request.args.get("q", ""), found=found)


@app.get("/health")
def health():
    return jsonify(app="maps", status="ok")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Maps")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "5001")))
    arguments = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run(host="127.0.0.1", port=arguments.port, threaded=True)

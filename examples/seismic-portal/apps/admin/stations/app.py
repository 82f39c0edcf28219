"""Stations: switches the stations of the network on and off. Whoever gets here may do so: the tier says it, not this application."""

import threading
from urllib.parse import unquote

from flask import Flask, abort, jsonify, redirect, render_template, request, url_for
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)

lock = threading.Lock()
stations = {
    "HOME": {"place": "Observatory", "on": True, "by": ""},
    "QUAY": {"place": "Harbour, 4 m below ground", "on": True, "by": ""},
    "HILL": {"place": "Rock, above the town", "on": False, "by": ""},
}


def user():
    return unquote(request.headers.get("X-Auth-Name", ""))


@app.get("/")
def index():
    with lock:
        return render_template("index.html", user=user(), tier=request.headers.get("X-Auth-Tier", ""), stations=stations)


@app.post("/<code>/switch")
def switch(code):
    with lock:
        if code not in stations:
            abort(404)
        stations[code].update(on=not stations[code]["on"], by=user())
    return redirect(url_for("index"), 303)


@app.get("/stations.json")
def as_json():
    with lock:
        return jsonify(stations)


@app.get("/health")
def health():
    return jsonify(status="ok")

"""Reports: site reports that people read and file. An ordinary Flask application; it greets whoever the X-Auth-User header names."""

import argparse
import itertools
import logging
import os
import threading

from flask import Flask, abort, jsonify, render_template_string, request

app = Flask(__name__)

lock = threading.Lock()
numbers = itertools.count(3)
reports = {
    1: {"title": "Site response, Wellington waterfront", "author": "field team"},
    2: {"title": "Borehole survey, Hutt Valley", "author": "field team"},
}
# The list lives in memory, so it has a limit; the oldest report makes room.
LIMIT = 200

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Reports</title></head>
<body>
<h1>Reports</h1>
<p>Signed in as {{ user or "nobody" }}.</p>
<ol>
{% for number, report in reports %}<li value="{{ number }}"><a href="reports/{{ number }}">{{ report.title }}</a>, {{ report.author }}</li>
{% endfor %}</ol>
</body>
</html>
"""


def user():
    return request.headers.get("X-Auth-User", "")


@app.get("/")
def index():
    with lock:
        rows = sorted(reports.items())
    return render_template_string(PAGE, user=user(), reports=rows)


@app.get("/whoami")
def whoami():
    return jsonify(app="reports", user=user())


@app.get("/reports")
def list_reports():
    with lock:
        return jsonify([{"number": number, **report} for number, report in sorted(reports.items())])


@app.get("/reports/<int:number>")
def read_report(number):
    with lock:
        if number not in reports:
            abort(404)
        return jsonify(number=number, **reports[number])


@app.post("/reports")
def file_report():
    body = request.get_json(silent=True)
    title = body.get("title") if isinstance(body, dict) else None
    if not isinstance(title, str) or not title.strip():
        return jsonify(error="a title is needed"), 400
    with lock:
        number = next(numbers)
        reports[number] = {"title": title.strip()[:200], "author": user() or "nobody"}
        while len(reports) > LIMIT:
            del reports[min(reports)]
        return jsonify(number=number, **reports[number]), 201


@app.get("/health")
def health():
    return jsonify(app="reports", status="ok")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Reports")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "5002")))
    arguments = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run(host="127.0.0.1", port=arguments.port, threaded=True)

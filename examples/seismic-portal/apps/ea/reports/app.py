"""Reports: what people saw at a site. Every link is relative, so the application works wherever it is served."""

import itertools
import threading
from urllib.parse import unquote

from flask import Flask, abort, redirect, render_template, request

app = Flask(__name__)

lock = threading.Lock()
numbers = itertools.count(3)
reports = {
    1: {"title": "Cracks in the quay wall", "text": "Two, as wide as a hand, along 40 m.", "author": "Field team"},
    2: {"title": "Borehole 12 is dry", "text": "No water down to 9 m; the log is filed.", "author": "Field team"},
}
LIMIT = 100


def reader():
    """Who asks. Names outside ASCII come percent-encoded."""
    return unquote(request.headers.get("X-Auth-Name", "") or request.headers.get("X-Auth-User", ""))


@app.get("/")
def index():
    with lock:
        newest = sorted(reports.items(), reverse=True)
    return render_template("index.html", user=reader(), reports=newest)


@app.get("/<int:number>")
def report(number):
    with lock:
        if number not in reports:
            abort(404)
        one = reports[number]
    return render_template("report.html", user=reader(), number=number, report=one)


@app.post("/file")
def file_report():
    title, text = (request.form.get(name, "").strip() for name in ("title", "text"))
    if not title or not text:
        abort(400)
    with lock:
        number = next(numbers)
        reports[number] = {"title": title[:100], "text": text[:2000], "author": reader()}
        while len(reports) > LIMIT:
            del reports[min(reports)]
    return redirect(str(number), 303)


@app.get("/health")
def health():
    return {"status": "ok"}

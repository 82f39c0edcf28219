"""Live: a seismogram as it is written, and remarks that everybody on the page reads. Flask-SocketIO, in threading mode."""

import math
import random
import threading
from urllib.parse import unquote

from flask import Flask, jsonify, render_template, request
from flask_socketio import SocketIO, emit

app = Flask(__name__)
socketio = SocketIO(app, async_mode="threading", max_http_buffer_size=20_000)

RATE = 50  # samples a second
PART = 10  # samples an event

lock = threading.Lock()
people = {}


def ground(seconds, random_source):
    """Ground velocity: the sea's slow swell, noise, and every 40 s a small earthquake with its P and S waves."""
    swell = 4 * math.sin(2 * math.pi * 0.18 * seconds) + 2 * math.sin(2 * math.pi * 0.31 * seconds + 1)
    shaking = 0.0
    since = seconds % 40 - 6
    for arrival, strength, frequency in [(0, 25, 6.0), (4, 70, 2.5)]:
        if since > arrival:
            time = since - arrival
            shaking += strength * time * math.exp(-time) * math.sin(2 * math.pi * frequency * time)
    return swell + shaking + random_source.gauss(0, 1.5)


def write():
    """Writes for as long as somebody looks."""
    sample, source = 0, random.Random(1931)
    while people:
        part = [round(ground((sample + step) / RATE, source), 1) for step in range(PART)]
        socketio.emit("samples", part)
        sample += PART
        socketio.sleep(PART / RATE)


@app.get("/")
def index():
    return render_template("index.html")


@app.get("/health")
def health():
    return jsonify(status="ok")


@socketio.on("connect")
def connected():
    name = unquote(request.headers.get("X-Auth-Name", "")) or "somebody"
    with lock:
        is_first = not people
        people[request.sid] = name
    if is_first:
        socketio.start_background_task(write)
    emit("welcome", name)


@socketio.on("disconnect")
def disconnected(*_):
    with lock:
        people.pop(request.sid, None)


@socketio.on("remark")
def remark(text):
    """Goes to everybody with the name of whoever made it; the answer is what they read."""
    line = f"{people.get(request.sid, 'somebody')}: {str(text)[:300]}"
    socketio.emit("remark", line)
    return line

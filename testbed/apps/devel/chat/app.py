"""Chat: a room over Socket.IO. An ordinary Flask-SocketIO application in threading mode, which speaks WebSocket and long polling.

Events from a client: `echo` (the payload comes back as the acknowledgement and as an `echo` event), `say` (goes to everybody as `said`).
"""

import argparse
import logging
import os

from flask import Flask, jsonify, request
from flask_socketio import SocketIO, emit

app = Flask(__name__)
# Pages from another origin may not connect; the library's default compares Origin with the address the server believes it has.
socketio = SocketIO(app, async_mode="threading", max_http_buffer_size=100_000)

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Chat</title></head>
<body>
<h1>Chat</h1>
<p>Connect a Socket.IO client to <code>socket.io</code> below this page, and send <code>say</code>.</p>
</body>
</html>
"""


@app.get("/")
def index():
    return PAGE


@app.get("/health")
def health():
    return jsonify(app="chat", status="ok")


@socketio.on("connect")
def connected():
    emit("welcome", {"room": "chat", "id": request.sid})


@socketio.on("echo")
def echo(payload):
    emit("echo", payload)
    return payload


@socketio.on("say")
def say(text):
    socketio.emit("said", {"from": request.sid, "text": str(text)[:1000]})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Chat")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "5004")))
    arguments = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # The built-in threaded server is the one that threading mode runs on.
    socketio.run(app, host="127.0.0.1", port=arguments.port, allow_unsafe_werkzeug=True)

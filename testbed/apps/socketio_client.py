"""A real Socket.IO client: connects, sends `echo`, waits for the answer, prints one line of JSON and exits.

    socketio_client.py http://127.0.0.1:8080 --path apps/devel/chat/socket.io --token JWT

Prints {"connected": true, "echo": ...} and exits 0, or {"connected": false, "status": 401} and exits 1. `status` is the HTTP status
that refused the handshake, or null where there was none (connection refused, timeout), and then `error` says why.
"""

import argparse
import json
import os
import re
import threading
import urllib.parse

import requests
import socketio


def refused_status(error):
    """The HTTP status that a chain of exceptions holds, or None: python-socketio itself says only "Connection error"."""
    while error is not None:
        status = getattr(error, "status_code", None)
        if isinstance(status, int):
            return status
        # engine.io's polling transport names the status only in its message.
        found = re.search(r"\b(?:status code|status)\s+(\d{3})\b", str(error))
        if found:
            return int(found.group(1))
        error = error.__cause__ or error.__context__
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="origin, such as http://127.0.0.1:8080")
    parser.add_argument("path", nargs="?", help="the Socket.IO path, such as apps/devel/chat/socket.io")
    parser.add_argument("--path", dest="path_option", help="the same, as an option")
    parser.add_argument("--token", help="bearer token for the Authorization header")
    parser.add_argument("--query-token", help="bearer token for the query parameter access_token")
    parser.add_argument("--cookie", help="a Cookie header")
    parser.add_argument("--origin", help="an Origin header, as a browser sends")
    parser.add_argument("--transport", choices=["websocket", "polling"], default="websocket")
    parser.add_argument("--event", default="echo", help="the event to call; what it acknowledges is the echo")
    parser.add_argument("--message", default="hello")
    parser.add_argument("--hold", type=float, default=0, help="after the echo, wait this long for the server to disconnect")
    parser.add_argument("--timeout", type=float, default=5)
    arguments = parser.parse_args()
    path = arguments.path_option or arguments.path or "socket.io"

    # Nothing below can outlast this, whatever a library does with its own timeouts.
    def give_up():
        print(json.dumps({"connected": False, "status": None, "error": "timeout"}), flush=True)
        os._exit(1)

    watchdog = threading.Timer(arguments.timeout + arguments.hold, give_up)
    watchdog.daemon = True
    watchdog.start()

    headers = {}
    if arguments.token:
        headers["Authorization"] = f"Bearer {arguments.token}"
    if arguments.cookie:
        headers["Cookie"] = arguments.cookie
    # The WebSocket client sends an Origin of its own (the URL's), so another one replaces it instead of standing beside it.
    websocket_options = {}
    if arguments.origin and arguments.transport == "websocket":
        websocket_options["origin"] = arguments.origin
    elif arguments.origin:
        headers["Origin"] = arguments.origin
    url = arguments.url
    if arguments.query_token:
        url += "?" + urllib.parse.urlencode({"access_token": arguments.query_token})

    # A session of our own, so that no proxy or credential of the environment takes part.
    session = requests.Session()
    session.trust_env = False
    # python-socketio gives `headers` to the first request only; later polls take them from the session.
    session.headers.update(headers)
    client = socketio.Client(
        reconnection=False,
        http_session=session,
        request_timeout=arguments.timeout,
        websocket_extra_options=websocket_options,
    )
    ended = threading.Event()
    client.on("disconnect", lambda *_: ended.set())
    try:
        client.connect(
            url,
            headers=headers,
            socketio_path=path.strip("/"),
            transports=[arguments.transport],
            wait_timeout=arguments.timeout * 0.9,
        )
        echo = client.call(arguments.event, arguments.message, timeout=arguments.timeout)
    except (socketio.exceptions.SocketIOError, OSError) as error:
        status = refused_status(error)
        answer = {"connected": False, "status": status}
        if status is None:
            answer["error"] = str(error)
        print(json.dumps(answer), flush=True)
        os._exit(1)

    answer = {"connected": True, "echo": echo}
    if arguments.hold:
        answer["disconnected"] = ended.wait(arguments.hold)
    watchdog.cancel()
    print(json.dumps(answer), flush=True)
    # A polite end, for as long as it takes a second; a poll that is still open may take much longer.
    goodbye = threading.Thread(target=client.disconnect, daemon=True)
    goodbye.start()
    goodbye.join(1)
    os._exit(0)


if __name__ == "__main__":
    main()

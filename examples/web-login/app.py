"""A page that knows who is signed in and has no sign-in code: the links lead to Tiergate's pages, the headers say who it is."""

from urllib.parse import unquote

from flask import Flask, render_template, request

app = Flask(__name__)


def person():
    """Who is signed in, or None. What is outside ASCII comes percent-encoded."""
    subject = request.headers.get("X-Auth-User", "")
    if not subject:
        return None
    read = {name: unquote(request.headers.get(f"X-Auth-{name}", "")) for name in ("Name", "Email", "Issuer", "Tiers")}
    return {"subject": unquote(subject), **{name.lower(): value for name, value in read.items()}}


@app.get("/")
def index():
    return render_template("index.html", person=person())


@app.get("/profile")
def profile():
    return render_template("profile.html", person=person())


@app.get("/health")
def health():
    return {"status": "ok"}

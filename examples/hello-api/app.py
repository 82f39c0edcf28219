"""Hello: three messages as JSON. Which of them somebody may read is not decided here."""

from flask import Blueprint, Flask, jsonify
from werkzeug.exceptions import HTTPException

app = Flask(__name__)
messages = Blueprint("messages", __name__, url_prefix="/api/messages")


@messages.get("/public")
def public():
    return jsonify(message="This message is for everybody.")


@messages.get("/protected")
def protected():
    return jsonify(message="This message is for people who signed in.")


@messages.get("/admin")
def admin():
    return jsonify(message="This message is for administrators.")


@app.errorhandler(HTTPException)
def failed(error):
    return jsonify(message=error.name), error.code


app.register_blueprint(messages)

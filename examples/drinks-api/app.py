"""Drinks: the menu of a coffee shop as a JSON API. It reads no token and checks no permission: what arrives here may be done."""

import itertools
import threading

from flask import Flask, abort, jsonify, request
from werkzeug.exceptions import HTTPException

app = Flask(__name__)


def part(name, color, parts):
    """One part of a recipe; ValueError for what is none."""
    if not isinstance(name, str) or not isinstance(color, str) or type(parts) is not int or not 0 < parts <= 100:
        raise ValueError
    return {"name": name[:80], "color": color[:40], "parts": parts}


lock = threading.Lock()
numbers = itertools.count(3)
drinks = {
    1: {"title": "Flat white", "recipe": [part("milk", "#f4efe6", 3), part("espresso", "#4a2c1a", 1)]},
    2: {"title": "Long black", "recipe": [part("water", "#cfe3ee", 3), part("espresso", "#4a2c1a", 2)]},
}
LIMIT = 200


def menu_form(number, drink):
    """What guests see: colours and amounts, no ingredients."""
    recipe = [{"color": part["color"], "parts": part["parts"]} for part in drink["recipe"]]
    return {"id": number, "title": drink["title"], "recipe": recipe}


def full_form(number, drink):
    return {"id": number, **drink}


def body_field(name, kind):
    """A field of the JSON body, or None where it has none: 400 without a JSON object, 422 for another kind."""
    body = request.get_json()
    if not isinstance(body, dict):
        abort(400, "the body must be a JSON object")
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        abort(422, f"`{name}` has the wrong type")
    return value


def title_of_body():
    title = body_field("title", str)
    if title is not None and not 0 < len(title.strip()) <= 80:
        abort(422, "`title` must have 1 to 80 characters")
    return title and title.strip()


def recipe_of_body():
    recipe = body_field("recipe", list)
    if recipe is None:
        return None
    if not 0 < len(recipe) <= 20:
        abort(422, "`recipe` must have 1 to 20 parts")
    try:
        return [part(one["name"], one["color"], one["parts"]) for one in recipe]
    except (KeyError, TypeError, ValueError):
        abort(422, "each part of `recipe` needs `name`, `color` and `parts`")


def take(number):
    return drinks.get(number) or abort(404, "there is no such drink")


@app.get("/drinks")
def menu():
    with lock:
        return jsonify(success=True, drinks=[menu_form(*entry) for entry in sorted(drinks.items())])


@app.get("/drinks-detail")
def detail():
    with lock:
        return jsonify(success=True, drinks=[full_form(*entry) for entry in sorted(drinks.items())])


@app.post("/drinks")
def add():
    title, recipe = title_of_body(), recipe_of_body()
    if title is None or recipe is None:
        abort(422, "a drink needs `title` and `recipe`")
    with lock:
        if any(drink["title"] == title for drink in drinks.values()):
            abort(422, "there is a drink of this title")
        if len(drinks) >= LIMIT:
            abort(422, "the menu is full")
        number = next(numbers)
        drinks[number] = {"title": title, "recipe": recipe}
        return jsonify(success=True, drinks=[full_form(number, drinks[number])])


@app.patch("/drinks/<int:number>")
def change(number):
    title, recipe = title_of_body(), recipe_of_body()
    with lock:
        drink = take(number)
        drink.update({name: value for name, value in [("title", title), ("recipe", recipe)] if value is not None})
        return jsonify(success=True, drinks=[full_form(number, drink)])


@app.delete("/drinks/<int:number>")
def remove(number):
    with lock:
        take(number)
        del drinks[number]
        return jsonify(success=True, delete=number)


@app.errorhandler(HTTPException)
def failed(error):
    return jsonify(error=error.code, message=error.description, success=False), error.code

"""The smallest service: JSON in, JSON out."""

import json


def init():
    global greeting
    greeting = "Hello"


def run(raw_data):
    name = json.loads(raw_data)["name"]
    return {"message": f"{greeting}, {name}!"}

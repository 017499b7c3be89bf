"""Runs the import that the request is made of, says how it went."""

import json


def init():
    pass


def run(data):
    try:
        exec(json.loads(data), {"__name__": "imported"})
    except ImportError as error:
        return type(error).__name__
    return "imported"

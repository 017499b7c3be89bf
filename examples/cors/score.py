"""A service that pages of another origin may call; the server answers their preflights."""

import json


def init():
    pass


def run(raw_data):
    return {"length": len(json.loads(raw_data)["text"])}

"""Echo in plain mode: what a request costs when the script does nothing."""

import json


def init():
    pass


def run(raw_data):
    return json.loads(raw_data)

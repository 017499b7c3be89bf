"""Answers with what run() was given."""


def init():
    pass


def run(raw_data):
    return {"type": type(raw_data).__name__, "value": raw_data}

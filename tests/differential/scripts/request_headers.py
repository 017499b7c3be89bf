"""Answers with the request_headers that run() was given."""


def init():
    pass


def run(data, request_headers):
    fresh = "Seen-Before" not in request_headers
    pairs = sorted(request_headers.items())
    request_headers["Seen-Before"] = "yes"
    return {"data": data, "type": type(request_headers).__name__, "fresh": fresh, "headers": pairs}

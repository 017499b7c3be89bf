"""An answer that is sent while it is made: one line of JSON after the other."""

import json

from azureml.contrib.services.aml_response import AMLResponse


def init():
    pass


def squares(count):
    for number in range(1, count + 1):
        yield json.dumps({"number": number, "square": number * number}) + "\n"


def run(raw_data):
    count = json.loads(raw_data)["count"]
    return AMLResponse(squares(count), 200, {"Content-Type": "application/x-ndjson"})

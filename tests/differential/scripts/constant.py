"""Answers with one response object made at import."""

from azureml.contrib.services.aml_response import AMLResponse

ANSWER = AMLResponse("constant", 200)


def init():
    pass


def run(data):
    return ANSWER

"""Prints, in init(), the variables that deployments look at."""

import os


def init():
    for name in ("AML_APP_INSIGHTS_ENABLED", "AML_APP_INSIGHTS_KEY", "AZUREML_MODEL_DIR"):
        print(f"{name}:{os.environ.get(name, '__NONE__')}")


def run(data):
    return "OK"

"""A scikit-learn model from AZUREML_MODEL_DIR; the classifier's own columns come and go as JSON."""

import json
import os

import joblib


def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.joblib"))


def run(raw_data):
    rows = json.loads(raw_data)["data"]
    return {"species": model.predict(rows), "probabilities": model.predict_proba(rows).round(3)}

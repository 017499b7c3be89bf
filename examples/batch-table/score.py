"""Rows of a table: one mini-batch is a DataFrame."""

import os

import joblib


def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.joblib"))


def run(mini_batch):
    features = mini_batch.drop(columns=["id"])
    return mini_batch[["id"]].assign(score=model.predict_proba(features.to_numpy())[:, 1].round(6))

"""Makes a small model and two CSV files in the folder given."""

import os
import sys

import joblib
import numpy
import pandas
from sklearn.linear_model import LogisticRegression

folder = sys.argv[1]
chance = numpy.random.default_rng(1)
x = chance.normal(size=(400, 3)).round(4)
os.makedirs(os.path.join(folder, "model"), exist_ok=True)
os.makedirs(os.path.join(folder, "data"), exist_ok=True)
joblib.dump(LogisticRegression().fit(x, x.sum(axis=1) > 0), os.path.join(folder, "model", "model.joblib"))
table = pandas.DataFrame(x, columns=["a", "b", "c"])
table.insert(0, "id", range(len(table)))
table[:250].to_csv(os.path.join(folder, "data", "part-1.csv"), index=False)
table[250:].to_csv(os.path.join(folder, "data", "part-2.csv"), index=False)

"""Other machines for the same run. An engine starts shares of it somewhere; the commits alone say what is done.

local        worker processes of this machine (scoring_runtime.batch.run)
ray, spark   one share for each slot of a cluster that reads and writes the same paths
kubernetes   an indexed Job, rendered; each pod is one share
"""

"""Training of the models: data, epochs that repeat bit by bit, and the files of a run."""

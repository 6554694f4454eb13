"""What `cnnext.optimize` runs: a model as graphs of operators, simplified pass by pass."""

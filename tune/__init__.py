"""Studies of hyperparameters by Optuna: spaces, samplers, pruners, and where studies are kept."""

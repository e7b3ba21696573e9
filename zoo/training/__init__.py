"""Training: recipes, the loop, checkpoints and averaged weights. torch is needed only to run it."""

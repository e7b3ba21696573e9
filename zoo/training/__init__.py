"""Training: recipes, the loop, checkpoints and averaged weights. Importing it needs torch only where it runs."""

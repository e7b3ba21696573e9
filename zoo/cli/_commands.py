"""The list of built-in commands, from which help and registration are derived."""

from __future__ import annotations

#: name -> summary, in the order in which users need them. Kept here so that ``zoo --help`` imports no command; a test
#: compares them with the commands.
COMMANDS = {
    "list": "List models and everything else that is installed.",
    "show": "Show a model's card, and explain its bundle.",
    "run": "Sample from a model, or score data with it.",
    "eval": "Measure a model on held-out data.",
    "export": "Export a model to a bundle that runs without PyTorch.",
    "check": "Check a bundle, and repeat its proof on this machine.",
    "pull": "Pull a model.",
    "push": "Put a model onto the Hugging Face Hub.",
    "cache": "Look at the models that were pulled, and remove them.",
    "bench": "Measure how fast a model samples.",
    "data": "Look at data to train on.",
    "train": "Train a model.",
    "plugins": "List the installed plugins.",
    "new": "Write a plugin package.",
    "check-plugin": "Check a plugin against what its hooks promise.",
    "doctor": "Check this installation.",
    "completion": "Print what makes a shell complete commands, options and names.",
}

"""Models in PyTorch: their common interface, and how they are built from a name, a folder or a card."""

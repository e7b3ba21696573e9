"""Models in PyTorch: the interface that they share, and how a name, a folder or a card becomes one."""

"""The parts of ``scripts/gpu``: models, engines, cells, the worker that measures them, and the pages they end up on."""

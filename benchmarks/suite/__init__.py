"""The cells of ``python -m benchmarks``: what is measured, how it is run, and the page of it."""

"""The built-in readers, one module for each format."""

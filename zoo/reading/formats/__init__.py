"""The built-in readers, one file a format."""

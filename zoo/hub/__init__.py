"""Models from elsewhere: the Hugging Face Hub, an address of the web, an archive; and onto the Hub.

What is pulled is a bundle, a bundle in a .zip, or a model's folder. It is downloaded, its digests are checked, it is
opened as every bundle is, and only then it gets its name in the cache. Nothing of it is run.
"""

from __future__ import annotations

from zoo.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__)

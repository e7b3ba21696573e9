"""genzoo: a zoo of flow and diffusion models that leave PyTorch. The public names, loaded when they are first used.

They are listed in the stub ``__init__.pyi``. Importing zoo costs nothing and needs neither torch nor NumPy, since the
module of every plugin does it each time ``zoo list`` runs.

>>> import zoo
>>> zoo.Architecture(name="gaussian", family="flow", entry="my_plugin.model:Gaussian").requires
('torch',)
"""

from __future__ import annotations

from zoo.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__)

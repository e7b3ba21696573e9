"""Diffusions around networks of other projects, by one call: ``zoo.denoiser``.

=================  ================================================================================================
module             what
=================  ================================================================================================
conventions.py     time, sign and scale of other projects' networks, a row each
calling.py         which argument of a network is which, from its signature
network.py         a network seen as one of ours
denoiser.py        everything put together
=================  ================================================================================================
"""

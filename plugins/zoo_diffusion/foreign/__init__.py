"""Diffusions around networks of other projects, in one call: ``zoo.denoiser``.

=================  ================================================================================================
module             what
=================  ================================================================================================
conventions.py     time, sign and scale of other projects' networks, one row each
calling.py         which argument of a network is which, from its signature
network.py         a network with the interface of ours
denoiser.py        everything put together
=================  ================================================================================================
"""

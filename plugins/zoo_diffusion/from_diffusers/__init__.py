"""Importing folders that diffusers writes: a network's config and safetensors, and a scheduler's config.

=================  ================================================================================================
module             what
=================  ================================================================================================
folder.py          where the files are, and what their JSON says
network.py         the config of a network -> architecture and config of ours
scheduler.py       the config of a scheduler -> path, prediction, sampler
config_reader.py   that config, no key of which is read past
keys.py            the keys that there are
weights.py         the network's tensors under our names
importer.py        all of it together
=================  ================================================================================================

diffusers itself is not needed. What its classes do was read from its published source and is held by tests against it.
"""

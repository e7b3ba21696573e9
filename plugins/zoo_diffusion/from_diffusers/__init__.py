"""Importing folders that diffusers writes: a network's config and safetensors, and a scheduler's config.

=================  ================================================================================================
module             what
=================  ================================================================================================
folder.py          where the files are, and what their JSON says
network.py         the config of a network -> architecture and config of ours
scheduler.py       the config of a scheduler -> path, prediction, sampler
config_reader.py   that config, none of whose keys is ignored
keys.py            the known keys
weights.py         the network's tensors under our names
importer.py        everything put together
=================  ================================================================================================

diffusers itself is not needed. The behaviour of its classes was read from its published source, and tests compare with
it.
"""

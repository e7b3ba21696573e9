"""Samples and log-densities in bulk: shards in a folder, with a manifest, by several processes or machines.

Sample *i* follows from the seed alone, so shards do not depend on who draws them, nor in which order.
"""

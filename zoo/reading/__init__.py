"""Users' files as data sets: a reader for each format, then column kinds, missing cells and splits. Without torch.

A reader (hook ``zoo_data_readers``) turns a path into :class:`~zoo.reading.content.Rows` or
:class:`~zoo.reading.content.Samples`; :mod:`zoo.reading.building` builds a :class:`~zoo.data.Dataset` from either.
"""

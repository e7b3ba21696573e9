"""Users' files as data sets: one file a format, then kinds of columns, missing cells, splits. No torch.

A reader (hook ``zoo_data_readers``) turns a path into :class:`~zoo.reading.content.Rows` or
:class:`~zoo.reading.content.Samples`; :mod:`zoo.reading.building` makes a :class:`~zoo.data.Dataset` of either.
"""

import zoo

zoo_api = 1


@zoo.hookimpl
def zoo_datasets():
    return [
        zoo.DataSource(
            name="spirals",
            summary="two spirals in the plane, with noise",
            entry="zoo_spirals.spirals:spirals",
            license="CC0-1.0",
        )
    ]

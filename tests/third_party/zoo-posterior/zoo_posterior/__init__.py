import zoo

zoo_api = 1


@zoo.hookimpl
def zoo_architectures():
    return [zoo.Architecture(name="posterior", family="flow", entry="zoo_posterior.model:Posterior")]


@zoo.hookimpl
def zoo_datasets():
    return [zoo.DataSource(name="lines", entry="zoo_posterior.data:lines")]

import zoo


@zoo.hookimpl
def zoo_architectures():
    return [zoo.Architecture(name="gaussian", family="flow", entry="zoo_example.gaussian:Gaussian")]

import zoo


@zoo.hookimpl
def zoo_architectures():
    return [
        zoo.Architecture(
            name="gaussian",
            family="flow",
            summary="Gaussian with full covariance",
            entry="zoo_example.gaussian:Gaussian",
        )
    ]

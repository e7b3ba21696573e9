import zoo

zoo_api = 1


@zoo.hookimpl
def zoo_architectures():
    entry = "zoo_example.gaussian:Gaussian"
    return [zoo.Architecture(name="gaussian", family="flow", entry=entry, example={"dim": 2})]


@zoo.hookimpl
def zoo_samplers():
    return [zoo.Sampler(name="two-step", entry="zoo_example.two_step:two_step")]


@zoo.hookimpl
def zoo_metrics():
    return [zoo.Metric(name="mean-distance", entry="zoo_example.mean_distance:mean_distance")]

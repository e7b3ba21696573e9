import zoo

zoo_api = 1


@zoo.hookimpl
def zoo_architectures():
    return [zoo.Architecture(name="twist", family="flow", entry="zoo_twist.flow:TwistFlow")]

import zoo

zoo_api = 1


@zoo.hookimpl
def zoo_architectures():
    return [zoo.Architecture(name="gan", family="adversarial", entry="zoo_gan.gan:GAN")]

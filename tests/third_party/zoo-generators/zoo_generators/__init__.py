import zoo


@zoo.hookimpl
def zoo_architectures():
    return [
        zoo.Architecture(name="vae", family="autoencoder", entry="zoo_generators.vae:VAE"),
        zoo.Architecture(name="gan", family="adversarial", entry="zoo_generators.gan:GAN"),
    ]

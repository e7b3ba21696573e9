import zoo


@zoo.hookimpl
def zoo_architectures():
    return [
        zoo.Architecture(name="vae", family="autoencoder", entry="zoo_generators.vae:VAE"),
        zoo.Architecture(name="gru", family="autoregressive", entry="zoo_generators.gru:GRU"),
        zoo.Architecture(name="walk", family="autoregressive", entry="zoo_generators.walk:Walk"),
        zoo.Architecture(name="kernels", family="kernel-density", entry="zoo_generators.kernels:Kernels"),
    ]


@zoo.hookimpl
def zoo_datasets():
    return [
        zoo.DataSource(name="syllables", entry="zoo_generators.data:syllables"),
        zoo.DataSource(name="walks", entry="zoo_generators.data:walks"),
    ]

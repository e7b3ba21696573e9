import zoo

zoo_api = 1


@zoo.hookimpl
def zoo_architectures():
    return [zoo.Architecture(name="film", family="diffusion", entry="zoo_film.diffusion:FiLMDiffusion")]

import zoo


@zoo.hookimpl
def zoo_architectures():
    return [zoo.Architecture(name="film", family="diffusion", entry="zoo_film.diffusion:FiLMDiffusion")]

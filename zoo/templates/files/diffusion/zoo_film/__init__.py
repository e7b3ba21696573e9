import zoo

zoo_api = 1


@zoo.hookimpl
def zoo_architectures():
    example = {"size": 2, "classes": 2, "hidden": 16}  # a small model, to check
    entry = "zoo_film.diffusion:FiLMDiffusion"
    return [zoo.Architecture(name="film", family="diffusion", entry=entry, example=example)]

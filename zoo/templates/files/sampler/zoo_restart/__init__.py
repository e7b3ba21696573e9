import zoo

zoo_api = 1


@zoo.hookimpl
def zoo_samplers():
    return [
        zoo.Sampler(
            name="restart",
            summary="goes back to more noise in the middle, and on from there",
            entry="zoo_restart.restart:restart",
            stochastic=True,
            paper="Xu et al. 2023, Restart sampling for improving generative processes, arXiv:2306.14878",
        )
    ]

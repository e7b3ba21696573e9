import zoo

zoo_api = 1


@zoo.hookimpl
def zoo_architectures():
    entry = "zoo_rejection.model:Resampled"
    return [zoo.Architecture(name="resampled", family="flow", entry=entry, example={"size": 2})]


@zoo.hookimpl
def zoo_programs():
    return [
        zoo.ProgramKind(
            name="rejection",
            summary="proposals that are accepted or thrown away",
            entry="zoo_rejection.program:Rejection",
            runner="zoo_rejection.runner:RejectionRunner",
        )
    ]

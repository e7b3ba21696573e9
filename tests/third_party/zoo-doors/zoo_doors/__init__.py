import zoo


@zoo.hookimpl
def zoo_commands():
    return [zoo.Command(name="extent", summary="Say how far data reach.", entry="zoo_doors.extent:command")]


@zoo.hookimpl
def zoo_formats():
    return [
        zoo.Format(
            name="tsv",
            summary="numbers between tabs, one sample per line",
            writer="zoo_doors.tsv:write",
            reader="zoo_doors.tsv:read",
        )
    ]


@zoo.hookimpl
def zoo_paths():
    return [zoo.PathKind(name="even", summary="a log-SNR that falls evenly", entry="zoo_doors.even:Even")]


@zoo.hookimpl
def zoo_architectures():
    return [zoo.Architecture(name="small", family="diffusion", entry="zoo_doors.small:Small")]

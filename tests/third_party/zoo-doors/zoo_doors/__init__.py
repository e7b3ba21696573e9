import zoo

zoo_api = 1


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
        ),
        zoo.Format(
            name="brd",
            summary="boards as lines of pieces",
            writer="zoo_doors.board:write",
            reader="zoo_doors.board:read",
            modality="board",
        ),
        zoo.Format(
            name="svg",
            summary="boards as a picture",
            writer="zoo_doors.board:write_svg",
            modality="board",
            picture=True,
        ),
    ]


@zoo.hookimpl
def zoo_modalities():
    return [
        zoo.ModalityKind(
            name="board",
            summary="positions of a game",
            entry="zoo_doors.board:Board",
            samples="boards",
            suffix=".brd",
            draw="zoo_doors.board:draw",
        )
    ]


@zoo.hookimpl
def zoo_paths():
    return [zoo.PathKind(name="even", summary="a log-SNR that falls evenly", entry="zoo_doors.even:Even")]


@zoo.hookimpl
def zoo_architectures():
    return [zoo.Architecture(name="small", family="diffusion", entry="zoo_doors.small:Small")]


@zoo.hookimpl
def zoo_datasets():
    return [zoo.DataSource(name="games", entry="zoo_doors.board:games", license="CC0-1.0")]

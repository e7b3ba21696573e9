import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))
sys.path.append(str(ROOT / "zoo" / "templates" / "files" / "adapter"))


@pytest.fixture
def trained():
    """A model with its weights moved by a third, in evaluation mode."""
    torch = pytest.importorskip("torch")

    def moved(model, deviation=0.3):
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += deviation * torch.randn(parameter.shape, generator=generator)
        return model.eval()

    return moved

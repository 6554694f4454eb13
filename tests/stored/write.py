"""Writes what users of this version keep in files, for later versions to load.

    python -m tests.stored.write

makes a folder of this version's name beside this file, once for each release. It is never written
again: `tests/test_stored_files.py` loads the folders of all versions.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

import cnnext
from cnnext import cli, models
from cnnext.testing.errors import make_input
from tests.ops.support import generator_for
from tests.pytorch_integration.cases import LAYERS, Network, outputs_of

FOLDER = Path(__file__).parent

#: How the run that `train` left was started; it is resumed with the same.
TRAINING = ("train", "lenet5", "--data", "digits", "--optimizer", "sgd")


def main() -> None:
    folder = FOLDER / cnnext.__version__
    folder.mkdir()
    torch.save(_modules(), folder / "modules.pt")
    torch.save(_state_dicts(), folder / "state_dicts.pt")
    lines = (json.dumps([name, shapes]) for name, shapes in _shapes_of_models().items())
    (folder / "models.jsonl").write_text("".join(f"{line}\n" for line in lines))
    program = torch.export.export(Network(cnnext.nn), (Network.images(),))
    torch.export.save(program, folder / "exported.pt2")
    assert cli.main([*TRAINING, "--epochs", "1", "--out", str(folder / "run")]) == 0
    for unneeded in ("curves.png", "confusion.csv", "confusion.png"):
        (folder / "run" / unneeded).unlink()


def _modules() -> dict[str, dict[str, Any]]:
    """Whole modules as `torch.save` pickles them, a call of each, and what native makes of it."""
    images = make_input("normal", (2, 3, 12, 12), generator_for("stored"))
    entries = {layer.name: _entry(*layer.pair(), layer.inputs()) for layer in LAYERS}
    for name, ours, native in (
        ("Sequential", _classifier(cnnext.nn), _classifier(nn)),
        ("converted", cnnext.convert(_classifier(nn)), _classifier(nn)),
        ("traced by torch.fx", torch.fx.symbolic_trace(_classifier(cnnext.nn)), _classifier(nn)),
    ):
        entries[name] = _entry(ours, native, (images,))
    return entries


def _entry(ours: nn.Module, native: nn.Module, inputs: tuple[Any, ...]) -> dict[str, Any]:
    def outputs(dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
        operands = torch.utils._pytree.tree_map(lambda t: t.to(dtype), inputs)
        with torch.no_grad():
            return outputs_of(native.to(dtype)(*operands))

    single, double = outputs(torch.float32), outputs(torch.float64)
    return {"module": ours, "inputs": inputs, "native": single, "reference": double}


def _classifier(layers: Any) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return layers.Sequential(
            layers.Conv2d(3, 8, 3, padding="same", padding_mode="reflect"),
            nn.BatchNorm2d(8),
            layers.ReLU(inplace=True),
            layers.MaxPool2d(2, ceil_mode=True),
            layers.Conv2d(8, 8, 3, groups=2, dilation=2),
            layers.ReLU(),
            layers.AvgPool2d(2, divisor_override=3),
            nn.Flatten(),
            layers.Linear(8, 5),
        ).eval()


def _state_dicts() -> dict[str, dict[str, Any]]:
    """By layer: how it is built, and a state_dict of it."""
    return {
        layer.name: {
            "arguments": layer.arguments,
            "options": layer.options,
            "state_dict": layer.build(cnnext.nn).state_dict(),
        }
        for layer in LAYERS
    }


def _shapes_of_models() -> dict[str, dict[str, list[int]]]:
    """By builder of `cnnext.models`: the keys of its state_dict, and their shapes."""
    builders = [name for name in models.__all__ if inspect.isfunction(getattr(models, name))]
    with torch.device("meta"):
        states = {name: getattr(models, name)(layers=cnnext.nn).state_dict() for name in builders}
    return {
        name: {key: list(t.shape) for key, t in state.items()} for name, state in states.items()
    }


if __name__ == "__main__":
    main()

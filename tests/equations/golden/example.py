"""Inputs of the golden files, and how a golden file is written or checked.

The make_*.py scripts run the other code base, in an environment of its own, on these
inputs, and store inputs and outputs together: the tests read only the JSON file.
"""

import argparse
import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

NUM_GENERATIONS = 4
LENGTHS = (6, 2, 4, 1, 3, 5, 6, 2)


def example() -> dict[str, Tensor]:
    """Two prompts of four completions, six columns, float32, seeded."""
    generator = torch.Generator().manual_seed(20261122)

    def normal(scale: float, *shape: int) -> Tensor:
        return scale * torch.randn(shape or (8, 6), generator=generator)

    logps = -4.0 - normal(0.5).abs()
    mask = (torch.arange(6) < torch.tensor(LENGTHS)[:, None]).long()
    empty = mask.clone()
    empty[3] = 0
    gaps = mask.clone()
    gaps[0, 2:4] = 0
    gaps[5, 1] = 0
    return {
        "per_token_logps": logps,
        # ratios from about .1 to beyond 10, so that every clip binds somewhere
        "old_per_token_logps": logps + normal(1.0),
        "ref_per_token_logps": logps + normal(0.7),
        # log-ratios and KL arguments beyond every clamp
        "extreme_logps": torch.tensor([[-1.0, -30.0, -9.0, -28.0, -1.0]]),
        "extreme_ref_logps": torch.tensor([[-26.0, -1.0, -1.0, -3.0, -1.5]]),
        "advantages": torch.tensor([1.5, -0.5, -0.5, -1.5, 0.8, 0.0, -1.2, 0.4]),
        "completion_mask": mask,
        "mask_with_empty_row": empty,
        "mask_with_gaps": gaps,
        "rewards": torch.tensor([1.0, 0.0, 0.0, 1.0, 0.3, 0.9, 0.0, 0.6]),
        "rewards_constant_group": torch.tensor([1.0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5]),
        "two_rewards": torch.tensor(
            [(0.0, 1), (0, 2), (1, 2), (1, 3), (0, 0), (0, 0), (0, 1), (0, 1)]
        ),
        "token_rewards": normal(0.3),
        "values": normal(0.5),
        "old_values": normal(0.5),
        "returns": normal(0.8),
        "overlong_lengths": torch.tensor([79, 80, 81, 90, 99, 100, 101, 110]),
    }


def value_and_gradient(
    loss: Callable[[Tensor], Tensor], variable: Tensor
) -> dict[str, Any]:
    """What a loss is and its derivative by one input."""
    variable = variable.clone().requires_grad_()
    value = loss(variable)
    (gradient,) = torch.autograd.grad(value.sum(), variable)
    return {"value": value.tolist(), "gradient": gradient.tolist()}


def _nine_digits(value: Any) -> Any:
    """Floats as short as float32 allows: nine digits give it back exactly."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, list):
        return [_nine_digits(item) for item in value]
    if isinstance(value, dict):
        return {key: _nine_digits(item) for key, item in value.items()}
    return value


def _layout(value: Any, depth: int = 0) -> str:
    """JSON with one line per case or input."""
    if not isinstance(value, dict) or "value" in value or depth == 3:
        return json.dumps(_nine_digits(value))
    pad = " " * (depth + 1)
    lines = [
        f"{pad}{json.dumps(str(key))}: {_layout(item, depth + 1)}"
        for key, item in value.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n" + " " * depth + "}"


def finish(name: str, about: Mapping[str, str], cases: Mapping[str, Any]) -> None:
    """Write `name`.json beside this file, or with --check compare with it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="compare, do not write")
    check = parser.parse_known_args()[0].check
    record = {
        "about": {
            **about,
            "torch": torch.__version__.split("+")[0],
            "python": platform.python_version(),
        },
        "inputs": {key: tensor.tolist() for key, tensor in example().items()},
        "cases": cases,
    }
    path = Path(__file__).with_name(f"{name}.json")
    if check:
        stored = json.loads(path.read_text())
        same = json.loads(_layout(record))["cases"] == stored["cases"]
        print(f"{path.name}: {'the same' if same else 'DIFFERENT'}")
        raise SystemExit(not same)
    path.write_text(_layout(record) + "\n")
    print(f"{path.name}: {len(cases)} cases")

"""SHARDS: weights that no process holds whole (FSDP2, DeepSpeed ZeRO-3).

TRL and accelerate gather them where a forward pass needs them. Ours is what lies around
it: the precision, whether an update moves anything, the model that comes out.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from typing import Any

import torch
from accelerate import PartialState, init_empty_weights
from accelerate.utils import reduce
from torch.distributed.tensor import DTensor


def correct_fsdp(plugin: Any, args: Any) -> None:
    """Correct what accelerate and TRL choose under FSDP; before anything is wrapped.

    accelerate rounds what a model returns to bfloat16: TRL's returns log-probs, and one
    of −5 rounded to 1/32 moves its ratio by a per cent. TRL would spread the KL's
    reference over all GPUs that a process sees, before FSDP shards it.
    """
    policy = plugin.mixed_precision_policy
    if policy is not None and plugin.fsdp_version == 2:
        plugin.mixed_precision_policy = dataclasses.replace(
            policy, output_dtype=None, reduce_dtype=torch.float32
        )
    args.model_init_kwargs = {**(args.model_init_kwargs or {}), "device_map": None}


def drop_idle_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """A batch without any signal must not move the weights by momentum alone.

    As in `updates.step_optimizers`: AdamW passes over parameters without a gradient. A
    hook before `optimizer.step`, because DeepSpeed lets nobody else see its gradients.
    A step at rate 0 passes: by one torch makes the moments that a checkpoint fills.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    moving = any(group["lr"] for group in optimizer.param_groups)
    if moving and not any_gradient(p.grad for p in parameters):
        for p in parameters:
            p.grad = None


def any_gradient(gradients: Iterable[torch.Tensor | None]) -> bool:
    """Whether one is not zero, in this process's shards or in another's."""
    local = (g.to_local() if isinstance(g, DTensor) else g for g in gradients)
    found = any(g is not None and bool(g.any()) for g in local)
    seen = torch.tensor(float(found), device=PartialState().device)
    return bool(reduce(seen, "sum"))


def whole_model(trainer: Any, kind: type) -> Any:
    """A model of class `kind` with the trainer's sharded weights, on the CPU.

    Every process calls this and gets one; weight by weight, so that no device has to
    hold them all.
    """
    sharded, weights = trainer.model, {}
    for name, weight in sharded.state_dict(keep_vars=True).items():
        weights[name] = _whole(weight).detach().to("cpu", copy=True)
    with init_empty_weights():
        model = kind(copy.deepcopy(sharded.config))
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    model.generation_config = sharded.generation_config
    return model


def _whole(weight: Any) -> Any:
    if isinstance(weight, DTensor):
        return weight.full_tensor()
    if not hasattr(weight, "ds_id"):  # a buffer
        return weight
    from deepspeed.utils import safe_get_full_fp32_param

    return safe_get_full_fp32_param(weight)  # the model's own may be bfloat16

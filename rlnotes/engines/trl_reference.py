"""REFERENCE of the KL term for TRL, which loads it from a folder."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

from rlnotes.policies.policy import Policy


@contextlib.contextmanager
def reference_on_disk(policy: Policy) -> Iterator[None]:
    """TRL loads the KL's reference from where the model says it is from: make it so.

    Every process writes its own copy: `save_pretrained` writes the first one's alone,
    which another machine does not see.
    """
    from safetensors.torch import save_file

    kept = policy.model.state_dict()
    weights = dict(policy.model.named_parameters())  # a tied one once
    weights |= {k: x for k, x in policy.model.named_buffers() if k in kept}
    weights = {name: x.detach().cpu().contiguous() for name, x in weights.items()}
    model_config = policy.model.config
    model_config.architectures = [type(policy.model).__name__]
    before = model_config._name_or_path
    with tempfile.TemporaryDirectory() as folder:
        model_config.save_pretrained(folder)
        file = os.path.join(folder, "model.safetensors")
        save_file(weights, file, metadata={"format": "pt"})
        model_config._name_or_path = folder
        try:
            yield
        finally:
            model_config._name_or_path = before

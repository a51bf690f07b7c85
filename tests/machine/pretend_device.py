"""An accelerator for machines without one: device "pretend", tensors on the CPU.

Its arithmetic is the CPU's, to the bit; its manners are CUDA's: an operation on
tensors of two devices raises, save where CUDA makes an exception. So code that runs on
it, with the numbers it has on the CPU, has no device mixed up. Importing this module
registers the device until the process ends: import it in a process of its own.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"
_aten = torch.ops.aten


class PretendTensor(torch.Tensor):
    """A tensor of the device; `held`, on the CPU, has its numbers."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> PretendTensor:
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        self.held = held
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(
        cls, op: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(op, *args, **(kwargs or {}))

    def __repr__(self, **_: Any) -> str:
        return f"PretendTensor({self.held!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        # torch's own way for devices without storages; it heeds map_location
        args = (self.held, self.dtype, str(self.device), self.requires_grad)
        return torch._utils._rebuild_device_tensor_from_cpu_tensor, args

    def tolist(self) -> Any:
        return self.held.tolist()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()  # by it transformers finds shared weights

    # else torch would move the wrapper and leave `held` behind
    data = property(torch.Tensor.detach)


_COPIES = {_aten.copy_, _aten._to_copy}
_INDEXING = {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_}
# like pointwise operations, these read a number from a CPU tensor without dimensions
_FILLS = {_aten.masked_fill, _aten.masked_fill_, _aten.index_fill, _aten.index_fill_}
_NOT_DETERMINISTIC = {_aten.cumsum, _aten.cumsum_, _aten.put_, _aten.histc}
# each makes the CPU wait for the device, to know a number or a shape; `isin` may
_READS = {
    _aten._local_scalar_dense,
    _aten.nonzero,
    _aten.masked_select,
    _aten.equal,
    _aten.isin,
    _aten._unique2,
}
_recording = False


@contextmanager
def graph_recording() -> Iterator[None]:
    """Within, RuntimeError for what a CUDA graph cannot record: waits and transfers."""
    global _recording
    _recording = True
    try:
        yield
    finally:
        _recording = False


def _cannot_be_recorded(kind: Any, args: Any, kwargs: Any) -> bool:
    if kind in _INDEXING:
        indices = [index for index in args[1] if index is not None]
        return any(not _here(i) or i.dtype == torch.bool for i in indices)
    if kind == _aten.copy_:
        return _here(args[0]) != _here(args[1])
    to = kwargs.get("device") if kind == _aten._to_copy else None
    return kind in _READS or (to is not None and to.type != NAME)


def _here(value: Any) -> bool:
    return isinstance(value, PretendTensor)


def _check(op: Any, args: Any, kwargs: Any) -> None:
    """Raise RuntimeError where CUDA would."""
    kind = op.overloadpacket
    if _recording and _cannot_be_recorded(kind, args, kwargs):
        raise RuntimeError(f"{op} cannot be recorded in a graph")
    if kind in _COPIES:
        return
    if kind in _NOT_DETERMINISTIC and torch.are_deterministic_algorithms_enabled():
        if args[0].is_floating_point():
            raise RuntimeError(f"{op} has no deterministic implementation on {NAME}")
    reads_numbers = torch.Tag.pointwise in op.tags or kind in _FILLS | _INDEXING
    for place, (name, written) in enumerate(_arguments(op)):
        value = args[place] if place < len(args) else kwargs.get(name)
        if kind in _INDEXING and name == "indices":
            continue  # they may be on the CPU, but what they index may not
        for part in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(part, torch.Generator) and part.device.type != NAME:
                raise RuntimeError(f"{op}: got a generator of the CPU")
            if not isinstance(part, torch.Tensor) or _here(part):
                continue
            if written or part.dim() > 0 or not reads_numbers:
                raise RuntimeError(
                    f"{op}: expected all tensors to be on the same device, but found"
                    f" {NAME}:0 and {part.device} (shape {tuple(part.shape)})"
                )


@functools.cache
def _arguments(op: Any) -> list[tuple[str, bool]]:
    """Name of each argument and whether it is written to."""
    infos = [(a.name, a.alias_info) for a in op._schema.arguments]
    return [(name, info is not None and info.is_write) for name, info in infos]


_random = torch.Generator()  # the device's random numbers are not the CPU's


def _run(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Run `op` on what the tensors hold; the results are where CUDA's would be."""
    _check(op, args, kwargs)
    given: dict[int, torch.Tensor] = {}

    def unwrap(value: Any) -> Any:
        if isinstance(value, torch.device):
            return torch.device("cpu")
        if not isinstance(value, torch.Tensor):
            return value
        held = value.held if _here(value) else value
        given[id(held)] = value
        return held

    cpu_args, cpu_kwargs = _each(unwrap, args), _each(unwrap, kwargs)
    on_device = any(map(_here, given.values()))
    if kwargs.get("device") is not None:
        on_device = kwargs["device"].type == NAME
    with _random_numbers(op):
        result = op(*cpu_args, **cpu_kwargs)

    def wrap(value: Any) -> Any:
        if id(value) in given:  # changed in place
            value = given[id(value)]
        elif on_device and isinstance(value, torch.Tensor):
            value = PretendTensor(value)
        if _here(value) and value.shape != value.held.shape:
            raise NotImplementedError(f"{op} changes the shape of a {NAME} tensor")
        return value

    return _each(wrap, result)


def _each(function: Callable[[Any], Any], value: Any) -> Any:
    """`function` of a value, or of everything in a list, tuple or dictionary."""
    if isinstance(value, dict):
        return {key: _each(function, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_each(function, part) for part in value)
    return function(value)


@contextmanager
def _random_numbers(op: Any) -> Iterator[None]:
    if torch.Tag.nondeterministic_seeded not in op.tags:
        yield
        return
    state = torch.get_rng_state()
    torch.set_rng_state(_random.get_state())
    try:
        yield
    finally:
        _random.set_state(torch.get_rng_state())
        torch.set_rng_state(state)


def _copy_from(source: torch.Tensor, target: torch.Tensor, _: bool = False) -> Any:
    return _run(_aten.copy_.default, target, source)


def _factories() -> Iterator[Any]:
    """Operations that make a tensor on a device from no other: `zeros`, `arange`."""
    for name in torch._C._dispatch_get_all_op_names():
        base, _, overload = name.partition(".")
        if not base.startswith("aten::"):
            continue
        arguments = torch._C._get_schema(base, overload).arguments
        if any(argument.name == "device" for argument in arguments) and not any(
            "Tensor" in str(argument.type) for argument in arguments
        ):
            packet = getattr(_aten, base.removeprefix("aten::"))
            yield getattr(packet, overload or "default")


def _cast(op: Any, *args: Any, **kwargs: Any) -> Any:
    """An autocast operation: floating-point tensors of the device become bfloat16."""
    dtype = torch.get_autocast_dtype(NAME)

    def low(value: Any) -> Any:
        if _here(value) and value.dtype == torch.float32:
            return value.to(dtype)
        return value

    with torch.autocast(NAME, enabled=False):
        return op(*_each(low, args), **_each(low, kwargs))


# what autocast runs in bfloat16 on CUDA, as far as language models meet it
_LOW_PRECISION = (
    _aten.linear.default,
    _aten.matmul.default,
    _aten.mm.default,
    _aten.bmm.default,
    _aten.addmm.default,
    _aten.baddbmm.default,
    _aten.scaled_dot_product_attention.default,
)


def _register() -> list[torch.library.Library]:
    module = types.ModuleType(f"torch.{NAME}")
    for name, value in {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "_is_in_bad_fork": lambda: False,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "synchronize": lambda device=None: None,
        "manual_seed_all": _random.manual_seed,
        "get_rng_state": lambda device=None: _random.get_state(),
        "set_rng_state": lambda state, device=None: _random.set_state(state),
        "get_amp_supported_dtype": lambda: [torch.bfloat16],
    }.items():
        setattr(module, name, value)
    _setup_privateuseone_for_python_backend(NAME, backend_module=module)
    # tied weights stay tied when a model moves, as they do on CUDA
    torch.__future__.set_swap_module_params_on_conversion(True)
    library = torch.library.Library("aten", "IMPL")
    for op in _factories():
        library.impl(op, functools.partial(_run, op), "PrivateUse1")
    # without a kernel of its own it would be composed, with other roundings
    backward = _aten.silu_backward.default
    library.impl(backward, functools.partial(_run, backward), "PrivateUse1")
    library.impl("_copy_from", _copy_from, "PrivateUse1")
    for op in _LOW_PRECISION:
        library.impl(op, functools.partial(_cast, op), "AutocastPrivateUse1")
    rest = torch.library.Library("_", "IMPL")
    rest.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    return [library, rest]


_libraries = _register()  # gone, they take the registrations with them

"""A GPU that is not there, to find on any machine what would break or stall on a real one.

Its tensors compute on the CPU, say that they are on cuda:0, and refuse to meet tensors of the CPU
where CUDA's would. Each time the host would have to wait for the device is written down with the
line that asks for it: numbers fetched from it, results whose size depends on values, and copies
that are not ``non_blocking``. Kernels, autocast and speed are those of the CPU, so nothing is
learnt about them.
"""

import contextlib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.accelerators.cuda import CUDAAccelerator
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cuda:0")
ATEN = torch.ops.aten
FETCHES = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique", "bincount")
INDEXING = ("index", "index_put_", "index_put", "_index_put_impl_", "_unsafe_index")


class OnGpu(Tensor):
    """A tensor of the pretended device; ``on_host`` holds its values."""

    on_host: Tensor

    @staticmethod
    def __new__(cls, values: Tensor, requires_grad: bool = False) -> "OnGpu":
        """Wrap a tensor of the CPU. To C++ it is on ``meta``: cuda would ask for a driver."""
        made: OnGpu = Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=torch.device("meta"),
            requires_grad=requires_grad,
        )
        made.on_host = values
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment] # as torch's own subclasses
    device = property(lambda self: DEVICE)
    is_cuda = property(lambda self: True)
    is_meta = property(lambda self: False)

    def tolist(self) -> Any:
        """Return the values, for which the host waits."""
        wait("tolist")
        return self.on_host.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Refuse, as CUDA's tensors do."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def __array__(self, *_: Any, **__: Any) -> Any:
        """Refuse, as CUDA's tensors do."""
        return self.numpy()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Save the values."""
        return self.on_host.__reduce_ex__(protocol)  # type: ignore[no-untyped-call] # torch's own

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Return a copy on the same device, a parameter of a parameter."""
        copied: Any = OnGpu(self.on_host.clone(), self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, self.requires_grad)
        return memo.setdefault(id(self), copied)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override] # torch's stub calls it no class method
        cls,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation on the values, and put the results where its tensors are."""
        named = dict(kwargs or {})
        name = func.overloadpacket.__name__
        tensors = [each for each in tree_leaves((args, named)) if isinstance(each, Tensor)]
        ours = [each for each in tensors if isinstance(each, cls)]
        device = named.pop("device", None)
        here = bool(ours) if device is None else torch.device(device).type in ("meta", "cuda")
        if device is not None and not here:
            named["device"] = device
        if ours and (name in FETCHES or (name == "_to_copy" and not here)):
            wait(name)
        if name in INDEXING and any(
            isinstance(index, OnGpu) and index.dtype in (torch.bool, torch.uint8)
            for index in args[1]
        ):
            wait("index by a mask")
        if ours and name != "copy_" and not (name in INDEXING and isinstance(args[0], cls)):
            strangers = [each for each in tensors if not isinstance(each, cls) and each.dim()]
            if strangers:
                raise RuntimeError(f"Expected all tensors to be on the same device: {func}")
        result = func(*tree_map(_real, args), **tree_map(_real, named))
        known = {id(each.on_host): each for each in ours}
        if name == "_local_scalar_dense" or not here:
            return result
        return tree_map(
            lambda out: known.get(id(out), OnGpu(out)) if isinstance(out, Tensor) else out, result
        )


def _real(value: Any) -> Any:
    return value.on_host if isinstance(value, OnGpu) else value


_waits: list[str] = []


def wait(why: str) -> None:
    """Write down that the host waits for the device, and which line of cryofix wants it."""
    lines = [line for line in traceback.extract_stack() if "/src/cryofix/" in line.filename]
    where = f"{Path(lines[-1].filename).name}:{lines[-1].lineno}" if lines else "not cryofix"
    _waits.append(f"{why} at {where}")


class _Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch has no types for it
    """Take what C++ makes on ``meta`` for the pretended device."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = (kwargs or {}).get("device") == torch.device("meta")
        if made or any(isinstance(each, OnGpu) for each in tree_leaves((args, kwargs))):
            return OnGpu.__torch_dispatch__(func, types, args, kwargs)
        return func(*args, **(kwargs or {}))


class _Function(TorchFunctionMode):
    """Take calls that name a CUDA device away from the parser, which would look for a driver."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "pin_memory":
            return args[0]
        if func is Tensor.to:
            return _moved(args[0], *args[1:], **named)
        device = named.get("device")
        if device is None or torch.device(device).type != "cuda":
            return func(*args, **named)
        if name in ("tensor", "as_tensor"):
            wait(name)  # copies from the host; torch.full does not
        del named["device"]
        return tree_map(
            lambda out: (
                OnGpu(out) if isinstance(out, Tensor) and not isinstance(out, OnGpu) else out
            ),
            func(*args, **named),
        )


def _moved(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Do what ``Tensor.to`` does."""
    kwargs.pop("copy", None)
    if args and isinstance(args[0], Tensor):
        args = (args[0].device, args[0].dtype, *args[1:])
    device, dtype, non_blocking, layout = torch._C._nn._parse_to(*args, **kwargs)
    if dtype is not None:
        tensor = tensor.to(dtype)
    if layout is not None:
        tensor = tensor.contiguous(memory_format=layout)
    if device is None or device.type == tensor.device.type:
        return tensor
    if device.type == "cuda":
        if not non_blocking:
            wait("to")
        return OnGpu(tensor.detach().clone(), tensor.requires_grad)
    result: Tensor = ATEN._to_copy(tensor, device=device)
    return result


@contextlib.contextmanager
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let Lightning find a GPU; give the list of waits, which grows as they come."""
    for name, stand_in in {
        "is_available": staticmethod(lambda: True),
        "auto_device_count": staticmethod(lambda: 1),
        "parse_devices": staticmethod(lambda devices: [0]),
        "get_parallel_devices": staticmethod(lambda devices: [DEVICE]),
        "setup_device": lambda self, device: None,
        "setup": lambda self, trainer: None,
        "teardown": lambda self: None,
    }.items():
        monkeypatch.setattr(CUDAAccelerator, name, stand_in)
    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device=None: generator())
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    _waits.clear()
    try:
        with _Function(), _Dispatch():  # type: ignore[no-untyped-call] # as above
            yield _waits
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)

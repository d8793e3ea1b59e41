"""The platform `cpu`: what verl asks of an accelerator, answered by the processor."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import psutil
import torch
import torch.distributed
from typing_extensions import override
from verl.plugin.platform import PlatformBase, PlatformRegistry


class _CpuDevice(types.ModuleType):
    """`torch.cpu` with the memory and random-state calls that verl makes on `torch.<device>`."""

    @override
    def __getattr__(self, name: str) -> object:
        return getattr(torch.cpu, name)

    def is_available(self) -> bool:
        """False, so that verl's helpers for accelerator memory return early."""
        return False

    def current_device(self) -> str:
        return "cpu"

    def device_count(self) -> int:
        return 1

    def get_device_name(self, *_: object) -> str:
        return "CPU"

    def ignore(self, *_: object) -> None:
        """Nothing to do on a CPU."""

    set_device = synchronize = empty_cache = ipc_collect = reset_peak_memory_stats = ignore

    def memory_allocated(self, *_: object) -> int:
        return 0

    memory_reserved = max_memory_allocated = max_memory_reserved = memory_allocated

    def mem_get_info(self, *_: object) -> tuple[int, int]:
        memory = psutil.virtual_memory()
        return memory.available, memory.total

    def get_rng_state(self, *_: object) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, *_: object) -> None:
        torch.set_rng_state(state)

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed


@PlatformRegistry.register(platform="cpu")
class CpuPlatform(PlatformBase):
    """One CPU that poses as one device."""

    _module: ClassVar[_CpuDevice] = _CpuDevice("memquartet.training.cpu.device")

    @property
    def device_name(self) -> str:
        return "cpu"

    @property
    def vendor_name(self) -> str:
        return "cpu"

    @property
    def device_module(self) -> types.ModuleType:
        return self._module

    def is_available(self) -> bool:
        return True

    def current_device(self) -> str:
        """A device string: verl passes it to `tensor.to`, where a number would mean a GPU."""
        return "cpu"

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        """There is only one."""

    def synchronize(self, device_index: int | None = None) -> None:
        """Nothing runs asynchronously."""

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def set_allocator_settings(self, settings: str) -> None:
        """The host's allocator is left alone."""

    def empty_cache(self) -> None:
        """There is no cache."""

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        """`gloo`, after the group exists.

        verl would go on to ask torch for "cpu:gloo,cpu:gloo", which torch refuses as a duplicate; it asks this
        first and leaves an existing group alone.
        """
        join_gloo_group()
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    def ray_resource_name(self) -> str:
        """`GPU`: the only resource besides NPU that verl counts. The launcher gives Ray one that is not there."""
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        """False: weights travel through shared memory of the host."""
        return False

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        """No profiler."""

    def profiler_stop(self) -> None:
        """No profiler."""

    def cudart(self) -> None:
        """No CUDA runtime."""


def join_gloo_group() -> None:
    """Join the workers' process group, where this process is one of them and has not joined yet."""
    if torch.distributed.is_initialized() or not {"RANK", "MASTER_ADDR"} <= os.environ.keys():
        return
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.distributed.init_process_group("gloo", rank=rank, world_size=size)

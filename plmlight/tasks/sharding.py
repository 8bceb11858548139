from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

ENTRANCES = ("training_step", "validation_step", "test_step", "predict_step")
"""By which methods, besides ``forward``, Lightning enters a task: parameters are gathered there too."""


def shard(task: nn.Module, mesh: DeviceMesh) -> None:
    """Spreads a task's parameters over a mesh (FSDP2): each layer is gathered when it is used, the rest once a step.

    Args:
        task: changed in place; nothing happens when it is sharded already.
        mesh: of one dimension, the data-parallel ranks.
    """
    if isinstance(task, FSDPModule):
        return
    for module in list(task.modules()):
        if isinstance(module, nn.ModuleList):
            for layer in module:
                fully_shard(layer, mesh=mesh)
    fully_shard(task, mesh=mesh)
    for name in ENTRANCES:
        register_fsdp_forward_method(task, name)


@contextmanager
def gathered(task: nn.Module) -> Iterator[None]:
    """Gathers all parameters of a sharded task (FSDP2), so that ranks may use its layers a different number of times.

    All ranks must enter, and each then holds the whole model for as long as it lasts. Nothing happens to a task that is
    not sharded.

    Args:
        task: what may be sharded.
    """
    parts = [module for module in task.modules() if isinstance(module, FSDPModule) and module is not task]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.set_reshard_after_forward(True, recurse=False)
            part.reshard()

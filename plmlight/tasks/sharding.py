from __future__ import annotations

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

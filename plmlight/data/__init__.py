"""Text on its way to a network: readers, shards, blocks, loaders. Preparing text loads no torch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

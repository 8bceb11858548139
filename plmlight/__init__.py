"""Language models from raw text to a proven, fast ONNX endpoint, on PyTorch Lightning."""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""ONNX files as torch networks: nodes become modules, whatever depends on no image is computed at once."""

"""What all operators run on: the compiled kernels, flags, and the way to native PyTorch."""

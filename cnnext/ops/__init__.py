"""One file an operator: fake kernels, autograd, the function, the module."""

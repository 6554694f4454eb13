"""The compiled CUDA kernels. Importing it registers them for the operators torch.ops.cnnext.*."""

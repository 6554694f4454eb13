"""The compiled library. Importing it registers the operators torch.ops.cnnext.*."""

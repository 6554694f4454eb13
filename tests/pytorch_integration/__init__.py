"""PyTorch's tools around every operator and module: each tool does what it does on native's."""

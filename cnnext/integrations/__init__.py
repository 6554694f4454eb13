"""What PyTorch has to know of our operators elsewhere: torch.fx, the flop counter."""

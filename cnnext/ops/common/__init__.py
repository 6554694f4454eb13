"""What operators of a kind share: arguments, windows, cells, their drop-in modules."""

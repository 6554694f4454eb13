"""convert, restore, report: layers of a model swapped for ours and back."""

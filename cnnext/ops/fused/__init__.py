"""Layers in a row that train as one function, where nobody watches what passes between them.

`layers.py` says which layers may, and what each does; `conv_relu_pool.py`, `norm_conv.py` and
`batch_norm` of `cnnext.ops` compute; `rows.py` finds the rows in a list of layers.
"""

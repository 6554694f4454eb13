"""cnnext against native PyTorch on a GPU: operators and whole models, checked equal first.

``python -m benchmarks.gpu`` measures and stores, ``python -m benchmarks.gpu.tables`` prints.
"""

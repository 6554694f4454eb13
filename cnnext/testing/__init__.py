"""What tests, benchmarks and the command line share, so that each is defined once.

``specs`` one file an operator, each a ``spec`` with named ``cases`` · ``errors`` input classes and
the numerics contract · ``comparisons`` one case as the calls of native PyTorch and of cnnext ·
``model_pair`` one model as three implementations · ``timing`` the measuring harness · ``machine``
what a stored row says about its machine · ``load`` what else kept the machine busy · ``kernels``
the kernel registry, by name.
"""

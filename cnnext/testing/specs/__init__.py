"""One file an operator: what tests, benchmarks and the self-test know of it.

Files whose name begins with an underscore hold what several of the others share.
"""

from __future__ import annotations

import importlib
import pkgutil

from cnnext.testing.spec import OperatorSpec

#: By name.
SPECS: dict[str, OperatorSpec] = {
    module.name: importlib.import_module(f"{__name__}.{module.name}").SPEC
    for module in pkgutil.iter_modules(__path__)
    if not module.name.startswith("_")
}

#: Those whose cases are measured.
MEASURED: dict[str, OperatorSpec] = {name: spec for name, spec in SPECS.items() if spec.cases}

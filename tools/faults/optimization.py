"""Faults in how a model is captured, and in the passes over its graphs."""

from __future__ import annotations

from faults.fault import Fault

OPTIMIZATION = (
    Fault(
        name="views-of-turned-images-taken-for-a-shuffle",
        kind="sizes of an idiom",
        file="cnnext/optimization/idioms.py",
        old=" or [_size(each) for each in sizes[-2:]] != [(x, 2), (x, 3)]",
        new="",
        tests=("tests/optimization/test_idioms.py",),
    ),
    Fault(
        name="a-size-asked-of-what-is-to-be-fused",
        kind="value whose size is asked for",
        file="cnnext/optimization/partition.py",
        old="traced[_as_large(like, traced)]",
        new="traced[like]",
        tests=("tests/optimization/test_partition.py", "-k", "size"),
    ),
    Fault(
        name="activation-fused-into-a-value-with-two-users",
        kind="users of a fused value",
        file="cnnext/optimization/passes/fuse_activation.py",
        old="        or not rewritten.is_used_once(producer)\n",
        new="",
        tests=("tests/optimization/test_passes.py", "-k", "two_users or two-residuals"),
    ),
    Fault(
        name="residual-added-on-the-wrong-side",
        kind="order in an epilogue",
        file="cnnext/optimization/passes/fuse_residual.py",
        old='"after" if "activation" in producer.attributes else "before"',
        new='"before" if "activation" in producer.attributes else "after"',
        tests=("tests/optimization/test_passes.py", "-k", "residual"),
    ),
    Fault(
        name="residual-into-the-earlier-operand",
        kind="order of a graph",
        file="cnnext/optimization/passes/fuse_residual.py",
        old="max(producers, key=rewritten.position)",
        new="min(producers, key=rewritten.position)",
        tests=("tests/optimization/test_passes.py", "-k", "residual"),
    ),
    Fault(
        name="pool-fused-whatever-its-stride",
        kind="window of a fused pool",
        file="cnnext/optimization/passes/fuse_pool.py",
        old='node.operator == "max_pool2d" and dict(node.attributes) == _WINDOW',
        new='node.operator == "max_pool2d"',
        tests=("tests/optimization/test_passes.py", "-k", "pool"),
    ),
    Fault(
        name="folded-scale-along-input-channels",
        kind="axis of a folded scale",
        file="cnnext/optimization/weights.py",
        old="scale = scale.reshape(self.transposed_groups, 1, -1, *[1] * (weight.dim() - 2))",
        new="scale = scale.reshape(-1, self.transposed_groups, *[1] * (weight.dim() - 1))",
        tests=("tests/optimization/test_passes.py", "-k", "transposed"),
    ),
    Fault(
        name="tensors-of-a-folded-norm-are-not-named",
        kind="what a refresh looks at",
        file="cnnext/optimization/weights.py",
        old="if isinstance(each, Weight):",
        new="if isinstance(each, Attribute):",
        tests=("tests/optimization/test_weights.py",),
    ),
    Fault(
        name="subnormals-in-a-plan",
        kind="subnormal weights",
        file="cnnext/optimization/weights.py",
        old="return flushed(self.exact(model).float()).contiguous()",
        new="return self.exact(model).float().contiguous()",
        tests=("tests/optimization/test_weights.py",),
    ),
    Fault(
        name="hooks-are-not-called",
        kind="hook of a captured layer",
        file="cnnext/optimization/layers.py",
        old="    if hooks._forward_hooks or hooks._forward_pre_hooks:\n"
        '        return "has a forward hook"\n',
        new="",
        tests=("tests/optimization/test_native_calls.py", "-k", "hook"),
    ),
    Fault(
        name="value-overwritten-under-another-name",
        kind="alias of an overwritten value",
        file="cnnext/optimization/functionalization.py",
        old="name not in (node, target) and used_later",
        new="name is None and used_later",
        tests=("tests/optimization/test_tracing.py", "-k", "in_place"),
    ),
    Fault(
        name="value-leaves-a-part-and-comes-back",
        kind="circle between parts",
        file="cnnext/optimization/partition.py",
        old="level[each] + (each not in supported)",
        new="level[each]",
        tests=("tests/optimization/test_partition.py",),
    ),
    Fault(
        name="sibling-slices-overlap",
        kind="channel range",
        file="cnnext/optimization/passes/merge_siblings.py",
        old='{"from": stop - n, "to": stop}',
        new='{"from": 0, "to": n}',
        tests=("tests/optimization/test_passes.py", "-k", "siblings"),
    ),
)

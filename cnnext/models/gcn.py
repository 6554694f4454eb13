"""Graph convolutional network, which gives every node of a graph a class.

Kipf, Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017
(https://arxiv.org/abs/1609.02907). Structure and initialisation are the paper's.
"""

from types import ModuleType

import torch
from torch import Tensor

from cnnext import nn


def normalised_adjacency(adjacency: Tensor) -> Tensor:
    """``D^-1/2 (A + I) D^-1/2``, where ``D`` has the degrees of ``A + I`` on its diagonal.

    Args:
        adjacency: ``A``, weights of the edges, ``(nodes, nodes)``, not negative; dense or sparse
            COO.

    Returns:
        ``(nodes, nodes)``, dense or coalesced sparse COO as ``adjacency`` is.
    """
    nodes = adjacency.shape[0]
    if not adjacency.is_sparse:
        with_loops = adjacency + torch.eye(nodes, dtype=adjacency.dtype, device=adjacency.device)
        scale = with_loops.sum(1).rsqrt()
        return scale[:, None] * with_loops * scale
    adjacency = adjacency.coalesce()
    loops = torch.arange(nodes, device=adjacency.device).expand(2, nodes)
    indices = torch.cat((adjacency.indices(), loops), dim=1)
    values = torch.cat((adjacency.values(), adjacency.values().new_ones(nodes)))
    row, column = indices
    scale = values.new_zeros(nodes).index_add(0, row, values).rsqrt()
    values = scale[row] * values * scale[column]
    edges = torch.sparse_coo_tensor(indices, values, (nodes, nodes), check_invariants=False)
    return edges.coalesce()


class GraphConvolution(torch.nn.Module):
    """``adjacency @ (x W) + b``: a linear layer whose outputs each node sums over its neighbours.

    Args:
        in_features: values of a node of the input.
        out_features: values of a node of the output.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(nodes, in_features)`` and ``(nodes, nodes)``, the latter dense or sparse COO
        - Output: ``(nodes, out_features)``
    """

    def __init__(self, in_features: int, out_features: int, layers: ModuleType = nn) -> None:
        super().__init__()
        self.linear = layers.Linear(in_features, out_features, bias=False)
        self.bias = torch.nn.Parameter(torch.zeros(out_features))
        torch.nn.init.xavier_uniform_(self.linear.weight)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return adjacency @ self.linear(x) + self.bias


class GCN(torch.nn.Module):
    """Two graph convolutions with ReLU between them.

    Args:
        num_classes: classes of a node.
        in_features: values of a node of the input.
        hidden_features: values of a node between the two.
        dropout: probability of a zero before each graph convolution.
        layers: namespace the layers are taken from, ``cnnext.nn`` or ``torch.nn``.

    Shape:
        - Input: ``(nodes, in_features)``, and ``(nodes, nodes)`` as :func:`normalised_adjacency`
          returns it
        - Output: ``(nodes, num_classes)``, logits
    """

    def __init__(
        self,
        num_classes: int = 7,
        in_features: int = 1433,
        hidden_features: int = 16,
        dropout: float = 0.5,
        layers: ModuleType = nn,
    ) -> None:
        super().__init__()
        self.dropout = layers.Dropout(p=dropout)
        self.conv1 = GraphConvolution(in_features, hidden_features, layers)
        self.relu = layers.ReLU(inplace=True)
        self.conv2 = GraphConvolution(hidden_features, num_classes, layers)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        x = self.dropout(x)
        x = self.relu(self.conv1(x, adjacency))
        x = self.dropout(x)
        return self.conv2(x, adjacency)


def gcn(
    num_classes: int = 7,
    layers: ModuleType = nn,
    *,
    in_features: int = 1433,
    hidden_features: int = 16,
) -> GCN:
    """GCN (23,063 parameters for Cora's features and classes); see :class:`GCN`."""
    return GCN(num_classes, in_features, hidden_features, layers=layers)

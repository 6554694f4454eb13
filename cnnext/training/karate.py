"""The karate club of Zachary, "An information flow model for conflict and fission in small groups",
Journal of Anthropological Research 33(4), 1977.

Members are joined who met outside the club. They are numbered from 0, the instructor, to 33, the
administrator, as in the paper's figure 1 less 1; the club split between these two.
"""

from __future__ import annotations

import torch
from torch import Tensor

NODES = 34

# By member: those of a higher number whom he met.
_FRIENDS = {
    0: (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31),
    1: (2, 3, 7, 13, 17, 19, 21, 30),
    2: (3, 7, 8, 9, 13, 27, 28, 32),
    3: (7, 12, 13),
    4: (6, 10),
    5: (6, 10, 16),
    6: (16,),
    8: (30, 32, 33),
    9: (33,),
    13: (33,),
    14: (32, 33),
    15: (32, 33),
    18: (32, 33),
    19: (33,),
    20: (32, 33),
    22: (32, 33),
    23: (25, 27, 29, 32, 33),
    24: (25, 27, 31),
    25: (31,),
    26: (29, 33),
    27: (33,),
    28: (31, 33),
    29: (32, 33),
    30: (32, 33),
    31: (32, 33),
    32: (33,),
}

# The faction that each member joined after the split: the instructor's (0) or the other (1).
_FACTIONS = "0000000001000011001010111111111111"


def adjacency() -> Tensor:
    """The symmetric matrix (34, 34) of the 78 edges."""
    matrix = torch.zeros(NODES, NODES)
    for member, friends in _FRIENDS.items():
        matrix[member, list(friends)] = 1
    return matrix + matrix.T


def factions() -> Tensor:
    """The faction of each member, (34,)."""
    return torch.tensor([int(faction) for faction in _FACTIONS])

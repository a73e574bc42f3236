"""How near what the service computes is to what transformers computes."""

import numpy as np
import numpy.typing as npt

COSINE = 0.9999

Numbers = npt.NDArray[np.float32]


def cosines(ours: Numbers, theirs: Numbers) -> npt.NDArray[np.float64]:
    """Returns the cosine of the angle between each row of one and of the other."""
    one, other = ours.astype(np.float64), theirs.astype(np.float64)
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)  # type: ignore[no-any-return]

"""What `native/resize.cpp` provides."""

import numpy as np
from numpy.typing import NDArray

Single = NDArray[np.float32]

def weighted_rows(x: Single, index: NDArray[np.int64], weight: Single, sums: Single) -> None: ...
def weighted_columns(x: Single, index: NDArray[np.int64], weight: Single, sums: Single) -> None: ...

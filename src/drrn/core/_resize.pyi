import numpy as np
from numpy.typing import NDArray

def weighted_rows(
    x: NDArray[np.float32], index: NDArray[np.int64], weight: NDArray[np.float32]
) -> NDArray[np.float32]: ...
def weighted_columns(
    x: NDArray[np.float32], index: NDArray[np.int64], weight: NDArray[np.float32]
) -> NDArray[np.float32]: ...

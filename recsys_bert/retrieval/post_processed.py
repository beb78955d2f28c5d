"""Whitening, a flow or centring of vectors before they are compared; see ``recsys_bert.post_processing``."""

import numpy as np
from numpy.typing import NDArray

from recsys_bert.encoder.parts import Options
from recsys_bert.errors import InputError
from recsys_bert.post_processing.fitted import fit_post_processing

NONE = "none"


def post_processed(
    vectors: NDArray[np.float32], fitted_on: NDArray[np.bool_], name: str, options: Options | None
) -> NDArray[np.float32]:
    """Vectors ``[n, out_dim]`` as a map gives them that is fitted on some of them; as they are for ``none``.

    Args:
        vectors: ``[n, dim]``.
        fitted_on: ``[n]``, True on vectors of something known.
        name: In ``POST_PROCESSING``, ``module:Class``, or ``none``.
        options: Of the map.

    Raises:
        InputError: An unknown map or option, options without a map, or too few vectors.
    """
    if name == NONE:
        if options:
            raise InputError("post_processing_options have no effect without post_processing; name one.")
        return vectors
    return fit_post_processing(name, vectors[fitted_on], options or {})(vectors)

"""Numbers as a file has them, to the type of a stream."""

import numpy as np

from common.problems import quoted
from records.errors import DataError
from records.schema import Stream


def as_encoded(values: np.ndarray, stream: Stream) -> np.ndarray:
    """The values in the stream's type; floats are rounded to float32, whole numbers fit or do not.

    Raises:
        DataError: They are not of the stream's kind, or beyond 0 to 255 where it is of bytes.
    """
    if values.dtype == stream.encoding:
        return values
    fitting = "f" if stream.encoding == "float32" else "iu"
    if values.dtype.kind not in fitting:
        kind = "floats" if fitting == "f" else "bytes or other whole numbers"
        raise DataError(
            f"stream {quoted(stream.name)} holds {values.dtype}, and must hold {kind}; check its "
            "encoding in the schema"
        )
    if fitting == "iu" and values.size and not 0 <= values.min() <= values.max() <= 255:
        raise DataError(
            f"stream {quoted(stream.name)} holds numbers beyond 0 to 255, which are no bytes; "
            "write floats, and set its encoding to float32"
        )
    # What overflows is found as infinity.
    with np.errstate(over="ignore"):
        return values.astype(stream.encoding)

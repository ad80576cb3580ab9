"""Numbers as text, fast: the shortest decimals that read back as the same float32, or a fixed number of digits."""

from __future__ import annotations

import numpy as np


def shortest_rows(values: np.ndarray, separator: str = ",") -> list[str]:
    """One text per row of values (n_rows, n_columns): the shortest decimals of float32, joined by separator."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = np.ascontiguousarray(values, np.float32)
    n_rows, n_columns = values.shape
    if values.size == 0:
        return [""] * n_rows
    # Adding zero turns -0 into 0.
    texts = pc.cast(pa.array(values.ravel() + np.float32(0.0)), pa.string())
    offsets = pa.array(np.arange(n_rows + 1, dtype=np.int64) * n_columns)
    return pc.binary_join(pa.LargeListArray.from_arrays(offsets, texts), separator).to_pylist()


def fixed_rows(values: np.ndarray, digits: int, separator: str = ",") -> list[str]:
    """One text per row of values (n_rows, n_columns) with the same number of digits after the point."""
    template = separator.join([f"%.{digits}f"] * values.shape[1])
    return [template % tuple(row) for row in (np.asarray(values, np.float64) + 0.0).tolist()]


def json_numbers(values: np.ndarray) -> str:
    """A JSON array of numbers (n,); exact for float32."""
    return f"[{shortest_rows(np.asarray(values)[None])[0]}]"


def json_rows(values: np.ndarray) -> str:
    """The rows of values (n_rows, n_columns) as JSON arrays, separated by commas; exact for float32."""
    return ",".join(f"[{row}]" for row in shortest_rows(values))


def filled_rows(template: str, values: np.ndarray) -> str:
    """The template's text once per row of values (n_rows, n_columns), each '%s' a shortest float32 decimal."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pieces = template.split("%s")
    assert len(pieces) == values.shape[1] + 1
    parts = [pa.scalar(pieces[0])]
    for column, piece in zip(np.asarray(values, np.float32).T + np.float32(0.0), pieces[1:]):
        parts += [pc.cast(pa.array(np.ascontiguousarray(column)), pa.string()), pa.scalar(piece)]
    rows = pc.binary_join_element_wise(*parts, "")
    return "".join(rows.to_pylist())

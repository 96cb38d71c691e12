"""Batches of several labs as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ._order import Numbers
from .errors import InvalidArgument

# The column that says which rows count.
padded = pa.field("_valid", pa.bool_(), nullable=False)


def alike(schemas: Sequence[pa.Schema], names: Sequence[str]) -> pa.Schema:
    """The columns of all: what one may be NULL in may be NULL, and what only some say of a column is left out.

    Raises `InvalidArgument` where names or types differ.
    """
    joined = schemas[0]
    for schema, name in zip(schemas[1:], names[1:]):
        if schema.names != joined.names:
            raise InvalidArgument(
                f"{names[0]} has the columns {', '.join(joined.names)} and {name} has {', '.join(schema.names)}: "
                "choose the same columns in the same order for every part"
            )
        fields = []
        for one, other in zip(joined, schema):
            if one.type != other.type:
                raise InvalidArgument(
                    f"column {one.name!r} has the type {one.type} in {names[0]} and {other.type} in {name}: leave it "
                    "out of columns"
                )
            said = (other.metadata or {}).items()
            metadata = {key: value for key, value in (one.metadata or {}).items() if (key, value) in said}
            fields.append(pa.field(one.name, one.type, one.nullable or other.nullable, metadata or None))
        joined = pa.schema(fields)
    return joined


def woven(parts: Sequence[pa.RecordBatch], sources: Numbers, schema: pa.Schema) -> pa.RecordBatch:
    """The rows of all parts, each in the order of its part: row `i` is the next one of part `sources[i]`."""
    if len(parts) == 1:
        return pa.RecordBatch.from_arrays(parts[0].columns, schema=schema)
    places = np.empty(len(sources), np.int64)
    places[np.argsort(sources, kind="stable")] = np.arange(len(sources))
    taken = pa.array(places)
    columns = []
    for number, field in enumerate(schema):
        arrays = [part.column(number) for part in parts]
        if isinstance(field.type, pa.BaseExtensionType):
            joined = pa.concat_arrays([array.storage for array in arrays]).take(taken)
            columns.append(pa.ExtensionArray.from_storage(field.type, joined))
        else:
            columns.append(pa.concat_arrays(arrays).take(taken))
    return pa.RecordBatch.from_arrays(columns, schema=schema)

"""What xarray makes of a column that the node has read from a file: missing values, times, attributes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

Values = np.ndarray[Any, Any]

# Calendars whose dates are no timestamps.
_OTHER_CALENDARS = {"noleap", "365_day", "all_leap", "366_day", "360_day", "julian"}
# Attributes that xarray keeps as the encoding of a variable.
_ENCODING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "coordinates")
# Attributes of CF that are text, also where the text is a number: the node writes both alike.
_TEXT = {"units", "calendar", "coordinates", "standard_name", "long_name", "comment", "title", "history", "_Unsigned"}
# What a file holds where nothing was written and no `_FillValue` is named; the node makes NULL of them.
_DEFAULT_FILLS = {
    "i2": -32767, "i4": -2147483647, "i8": -9223372036854775806,
    "u2": 65535, "u4": 4294967295, "u8": 18446744073709551614,
    "f4": 9.969209968386869e36, "f8": 9.969209968386869e36,
}  # fmt: skip


def attributes(field: pa.Field) -> dict[str, Any]:
    """The attributes of a variable. Numbers and lists of numbers are such again, where CF does not say text."""
    found: dict[str, Any] = {}
    for key, value in (field.metadata or {}).items():
        name = key.decode()
        if not name.startswith(("ARROW:", "PARQUET:")):
            text = value.decode()
            found[name] = text if name in _TEXT else _number(text)
    return found


def _number(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    numbers = value if isinstance(value, list) and value else [value]
    if not all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers):
        return text
    return np.asarray(value) if isinstance(value, list) else value


def split_attributes(field: pa.Field) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes and encoding, as xarray divides them."""
    kept = attributes(field)
    moved = [
        *_ENCODING,
        *(("units", "calendar") if pa.types.is_timestamp(field.type) or in_other_calendar(field) else ()),
    ]
    encoding = {name: kept.pop(name) for name in moved if name in kept}
    return kept, encoding


def in_other_calendar(field: pa.Field) -> bool:
    """Whether a column has times that are numbers, because their calendar has dates that timestamps have not."""
    said = attributes(field)
    numbers = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    return numbers and " since " in str(said.get("units")) and str(said.get("calendar")).lower() in _OTHER_CALENDARS


class Decoding:
    """From a column to the values of a variable: `raw` per batch, `decoded` of all."""

    def __init__(self, field: pa.Field, sparse: bool) -> None:
        self._field, kind = field, field.type
        self._attributes = attributes(field)
        self._cftime = in_other_calendar(field)
        masked = sparse or "_FillValue" in self._attributes or "missing_value" in self._attributes
        self._fill: Any = None
        if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
            letter = "M" if pa.types.is_timestamp(kind) else "m"
            self._raw_type = np.dtype(f"{letter}8[{kind.unit}]")
            self._fill = np.array("NaT", self._raw_type)
        elif pa.types.is_floating(kind) or pa.types.is_integer(kind):
            self._raw_type = np.dtype(kind.to_pandas_dtype())
            if self._raw_type.kind != "f" and (masked or self._cftime):
                # As xarray chooses: the smallest float that it takes for exact enough.
                self._raw_type = np.dtype("f4" if self._raw_type.itemsize <= 2 and not self._cftime else "f8")
            default = _DEFAULT_FILLS.get(self._raw_type.str[1:])
            self._fill = np.nan if masked or self._cftime or default is None else default
        elif pa.types.is_boolean(kind) and not sparse:
            self._raw_type, self._fill = np.dtype(bool), False
        else:
            self._raw_type = np.dtype(object)
            self._fill = np.nan if masked else ""
        self.dtype = np.dtype(object) if self._cftime else self._raw_type

    def missing(self, size: int) -> Values:
        """As many missing values."""
        fill = 0 if self._raw_type.kind in "iu" and self._fill is np.nan else self._fill
        return np.full(size, fill, self._raw_type)

    def raw(self, column: pa.Array) -> Values:
        """The values of a column with missing ones filled."""
        if self._raw_type == object:
            return np.array([self._fill if value is None else value for value in column.to_pylist()] + [None], object)[
                :-1
            ]
        values = column.to_numpy(zero_copy_only=False)
        if not column.null_count:
            return np.asarray(values, self._raw_type)
        if self._raw_type.kind in "Mm":
            return np.asarray(values, self._raw_type)
        if self._raw_type.kind in "iu":
            return np.asarray(column.fill_null(pa.scalar(int(self._fill), column.type)).to_numpy(zero_copy_only=False))
        hidden = np.asarray(column.is_null().to_numpy(zero_copy_only=False))
        filled = np.asarray(column.fill_null(0).to_numpy(zero_copy_only=False), self._raw_type)
        return np.where(hidden, np.asarray(self._fill, self._raw_type), filled)

    def decoded(self, values: Values) -> Values:
        """Dates of cftime where the calendar asks for them."""
        if not self._cftime or not values.size:
            return values.astype(self.dtype, copy=False)
        from xarray.coding.times import decode_cf_datetime

        calendar = str(self._attributes["calendar"]).lower()
        return np.asarray(decode_cf_datetime(values, str(self._attributes["units"]), calendar))

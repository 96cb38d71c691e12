"""Client of Tarn: SQL, search and training streams over the data of many labs."""

from ._cursor import Cursor
from ._dataset import Dataset
from ._lake import Lake, connect
from ._mix import Mix, mix
from ._result import Result
from ._stats import Stats
from ._stream import Stream
from .errors import TarnError

__all__ = ["Cursor", "Dataset", "Lake", "Mix", "Result", "Stats", "Stream", "TarnError", "connect", "mix"]
__version__ = "0.1.0"

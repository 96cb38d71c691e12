"""Client of Tarn: SQL, search and training streams over the data of many labs."""

from ._lake import Dataset, Lake, Result, connect
from ._stream import Cursor, Stream
from .errors import TarnError

__all__ = ["Cursor", "Dataset", "Lake", "Result", "Stream", "TarnError", "connect"]
__version__ = "0.1.0"

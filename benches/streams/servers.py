#!/usr/bin/env python3
"""What streams are held against: the same samples from a plain socket, and from pyarrow's own Flight server.

    servers.py socket FILE.npy         every connection gets the bytes of all samples
    servers.py flight FILE.npy         every DoGet gets all samples in batches of 256

Both have the samples in memory and print the port that they listen on.
"""

import socket
import sys

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight

BATCH = 256


class Plain(flight.FlightServerBase):
    """Batches that lie ready in memory, sent by C++ alone."""

    def __init__(self, array):
        super().__init__("grpc://127.0.0.1:0")
        values = pa.FixedShapeTensorArray.from_numpy_ndarray(array)
        self.batches = [pa.record_batch([values.slice(first, BATCH)], ["x"]) for first in range(0, len(array), BATCH)]

    def do_get(self, context, ticket):
        return flight.RecordBatchStream(pa.RecordBatchReader.from_batches(self.batches[0].schema, self.batches))


def pour(array):
    """Sends all bytes to each who connects."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        print(door.getsockname()[1], flush=True)
        while True:
            with door.accept()[0] as connection:
                try:
                    connection.sendall(memoryview(array).cast("B"))
                except OSError:
                    # Who has enough goes.
                    continue


if __name__ == "__main__":
    samples = np.load(sys.argv[2])
    if sys.argv[1] == "socket":
        pour(samples)
    else:
        served = Plain(samples)
        print(served.port, flush=True)
        served.serve()

#!/usr/bin/env python3
"""Rows by Flight: Tarn reads them from a Delta table, a plain server has them in memory.

    loopback.py FILE        serves the rows of a Parquet file at a free port, which it prints
"""

import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as pq

QUERY = "SELECT run, energy, angle, counts FROM wide.rows"
# Rows of a batch: as many as Tarn's have.
BATCH = 8192
TURNS = 5


class Memory(flight.FlightServerBase):
    """Gives one table to everyone, in C++ alone."""

    def __init__(self, table):
        super().__init__("grpc://127.0.0.1:0")
        self.table = table.combine_chunks()

    def do_get(self, context, ticket):
        reader = pa.RecordBatchReader.from_batches(self.table.schema, self.table.to_batches(max_chunksize=BATCH))
        return flight.RecordBatchStream(reader)


def drain(client, ticket, options=None):
    """Reads a stream to its end: rows and seconds."""
    began, rows = time.perf_counter(), 0
    for chunk in client.do_get(ticket, options):
        rows += chunk.data.num_rows
    return rows, time.perf_counter() - began


def compare(lab, connection, token, folder):
    """Seconds of both, in turn."""
    [file] = folder.glob("*.parquet")
    tarn = flight.connect(lab.flight_url)
    header = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])
    command = [sys.executable, __file__, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        plain = flight.connect(f"grpc://127.0.0.1:{server.stdout.readline().strip()}")
        times, counts = {"tarn": [], "plain": []}, set()
        for _ in range(TURNS):
            with connection.cursor() as cursor:
                partitions, _ = cursor.adbc_execute_partitions(QUERY)
            tickets = [end.ticket for part in partitions for end in flight.FlightInfo.deserialize(part).endpoints]
            began, rows = time.perf_counter(), 0
            for ticket in tickets:
                rows += drain(tarn, ticket, header)[0]
            times["tarn"].append(time.perf_counter() - began)
            counts.add(rows)
            rows, seconds = drain(plain, flight.Ticket(b""))
            times["plain"].append(seconds)
            counts.add(rows)
        server.terminate()
    best = {name: min(seconds) for name, seconds in times.items()}
    share = best["plain"] / best["tarn"]
    print(f"flight: tarn {best['tarn']:.3f} s, plain {best['plain']:.3f} s, {share:.0%} of its speed", flush=True)
    return {"part": "flight", **best, "share": share, "agrees": len(counts) == 1}


if __name__ == "__main__":
    served = Memory(pq.read_table(sys.argv[1]))
    print(served.port, flush=True)
    served.serve()

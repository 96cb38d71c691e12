"""Delta tables written by hand, by the protocol's own text: what no writer at hand writes."""

import base64
import binascii
import json
import struct
import uuid

import pyarrow as pa
import pyarrow.parquet as pq

# Delta protocol, "Deletion Vector Format": magic number of a bitmap array, version of a file.
MAGIC, FILE_VERSION = 1681511377, 1
# Roaring format specification: cookie of bitmaps without runs.
NO_RUNS = 12346
Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
B85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"


def field(name, kind, number=None, physical=None):
    """A field of a schema, mapped to a column of the files if it has a number."""
    metadata = {}
    if number is not None:
        metadata = {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": physical}
    return {"name": name, "type": kind, "nullable": True, "metadata": metadata}


def metadata(fields, partitioned=(), **configuration):
    """The action that says what a table is."""
    schema = json.dumps({"type": "struct", "fields": fields})
    return {
        "metaData": {
            "id": str(uuid.uuid4()),
            "format": {"provider": "parquet", "options": {}},
            "schemaString": schema,
            "partitionColumns": list(partitioned),
            "configuration": {key.replace("__", "."): value for key, value in configuration.items()},
            "createdTime": 0,
        }
    }


def protocol(*features):
    """The action that says what readers and writers must know."""
    return {
        "protocol": {
            "minReaderVersion": 3,
            "minWriterVersion": 7,
            "readerFeatures": list(features),
            "writerFeatures": list(features),
        }
    }


def add(folder, name, table, partition=None, vector=None, stats=None):
    """Writes a data file, and gives the action that adds it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    action = {
        "path": name,
        "partitionValues": partition or {},
        "size": path.stat().st_size,
        "modificationTime": 0,
        "dataChange": True,
        "stats": json.dumps({"numRecords": table.num_rows, **(stats or {})}),
    }
    if vector:
        action["deletionVector"] = vector
    return {"add": action}


def commit(folder, version, *actions):
    """Writes a version of the log."""
    log = folder / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"commitInfo": {"timestamp": version, "operation": "WRITE"}}), *map(json.dumps, actions)]
    (log / f"{version:020}.json").write_text("\n".join(lines) + "\n", encoding="utf-8")


def z85(data):
    """Base 85 in the alphabet of ZeroMQ."""
    return base64.b85encode(data).decode().translate(str.maketrans(B85, Z85))


def bitmap(rows):
    """Deleted rows as a 64-bit roaring bitmap array; rows below 2^16 and above."""
    rows, containers = sorted(rows), {}
    for row in rows:
        containers.setdefault(row >> 16, []).append(row & 0xFFFF)
    header = struct.pack("<II", NO_RUNS, len(containers))
    for key, values in containers.items():
        header += struct.pack("<HH", key, len(values) - 1)
    offset, offsets, bodies = len(header) + 4 * len(containers), b"", b""
    for values in containers.values():
        assert len(values) <= 4096, "an array container"
        offsets += struct.pack("<I", offset + len(bodies))
        bodies += struct.pack(f"<{len(values)}H", *values)
    return struct.pack("<iqI", MAGIC, 1, 0) + header + offsets + bodies


def inline_vector(rows):
    """A deletion vector that stands in the log."""
    data = bitmap(rows)
    padded = data + b"\0" * (-len(data) % 4)
    return {"storageType": "i", "pathOrInlineDv": z85(padded), "sizeInBytes": len(data), "cardinality": len(rows)}


def stored_vector(folder, rows):
    """A deletion vector in a file of the table's folder, behind another one."""
    first, data, name = bitmap([1]), bitmap(rows), uuid.uuid4()

    def block(one):
        return struct.pack(">i", len(one)) + one + struct.pack(">I", binascii.crc32(one))

    head = bytes([FILE_VERSION]) + block(first)
    (folder / f"deletion_vector_{name}.bin").write_bytes(head + block(data))
    return {
        "storageType": "u",
        "pathOrInlineDv": z85(name.bytes),
        "offset": len(head),
        "sizeInBytes": len(data),
        "cardinality": len(rows),
    }


def checkpoint_v2(folder, version, actions, adds):
    """Replaces the log up to a version by a checkpoint whose files stand in a sidecar."""
    log = folder / "_delta_log"
    (log / "_sidecars").mkdir(parents=True)
    sidecar = f"{uuid.uuid4()}.parquet"
    kind = pa.struct(
        [
            ("path", pa.string()),
            ("partitionValues", pa.map_(pa.string(), pa.string())),
            ("size", pa.int64()),
            ("modificationTime", pa.int64()),
            ("dataChange", pa.bool_()),
            ("stats", pa.string()),
        ]
    )
    rows = [{**one["add"], "partitionValues": list(one["add"]["partitionValues"].items())} for one in adds]
    pq.write_table(pa.table({"add": pa.array(rows, kind)}), log / "_sidecars" / sidecar)
    size = (log / "_sidecars" / sidecar).stat().st_size
    lines = [
        {"checkpointMetadata": {"version": version}},
        {"sidecar": {"path": sidecar, "sizeInBytes": size, "modificationTime": 0}},
        *actions,
    ]
    name = f"{version:020}.checkpoint.{uuid.uuid4()}.json"
    (log / name).write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    for old in range(version + 1):
        (log / f"{old:020}.json").unlink(missing_ok=True)
    # Readers list from the first commit that is left.
    commit(folder, version + 1, {"txn": {"appId": "none", "version": 1}})

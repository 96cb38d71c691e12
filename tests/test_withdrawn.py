"""What is left of a withdrawn dataset, and for whom."""

import requests
from fields import random_netcdf
from records import write_record
from test_access import header, token
from test_oai import RESTRICTED


def test_a_withdrawn_dataset_is_gone_for_who_may_know_of_it_and_never_was_for_others(new_lab, tmp_path):
    lab = new_lab("ornl")
    path = random_netcdf(tmp_path / "x.nc", 5, "NETCDF4", "noleap")
    for name, changes in {"x": {}, "part": {**RESTRICTED, "exposure": "redacted"}, "hidden": {**RESTRICTED, "exposure": "none"}}.items():
        lab.run("register", write_record(tmp_path / f"{name}.yaml", [path], name=name, title=f"Fields of {name}", **changes))
        lab.run("ingest", path, "--dataset", name, "--table", "cells", "--grid", "time_lat_lon")
    ann = header(token(lab, "ann"))
    lab.start()

    def get(name, rest="", who=ann, **headers):
        return requests.get(f"{lab.http_url}/api/v1/datasets/ornl/{name}{rest}", headers={**who, **headers}, timeout=60)

    doors = ["", "/export/datacite", "/export/stac", "/export/elink", "/tables/cells.csv", "/files/0/x.nc"]
    absent = {door: get("none", door) for door in doors}
    before = {door: get("hidden", door) for door in doors}
    known = get("x").json()
    for name in ("x", "part", "hidden"):
        lab.run("retract", name, "--reason", "wrong calibration", "--replaced-by", "ornl.y")
    for who in (ann, {}):
        for door in doors:
            gone = get("x", door, who)
            assert gone.status_code == 410, (door, gone.text)
            assert gone.headers["content-type"] == "application/problem+json"
            body = gone.json()
            assert body["code"] == "gone" and body["status"] == 410
            assert "wrong calibration" in body["detail"] and "use ornl.y" in body["detail"]
            left = body["tombstone"]
            assert left["ark"] == known["ark"] and left["title"] == "Fields of x" and left["version"] == known["version"]
            assert left["reason"] == "wrong calibration" and left["replaced_by"] == "ornl.y" and left["withdrawn_at"]
            assert str(path) not in gone.text
    assert get("x@1").status_code == 410
    # Of what is shown in part nothing more is left than was shown.
    part = get("part")
    assert part.status_code == 410 and part.json()["tombstone"]["creators"] == []
    # What was hidden answers what it did, and what a name answers that nobody has.
    for door in doors:
        now = get("hidden", door)
        assert now.status_code == before[door].status_code == absent[door].status_code == 404
        assert now.json()["detail"] == before[door].json()["detail"]
        assert now.json()["detail"].replace("hidden", "none") == absent[door].json()["detail"]
    # The page stays, and a program that asks it for a format hears the same.
    page = requests.get(f"{lab.http_url}/datasets/ornl/x", timeout=60)
    assert page.status_code == 200 and "wrong calibration" in page.text
    machine = requests.get(f"{lab.http_url}/datasets/ornl/x", headers={"Accept": "application/ld+json"}, timeout=60)
    assert machine.status_code == 410 and machine.json()["tombstone"]["ark"] == known["ark"]
    # That data were asked for is in the log.
    reads = [one for one in lab.run("audit", "list", "--dataset", "x", "--json").json() if one["act"] == "read" and one["person"] == "person:ann"]
    assert [(one["outcome"], one["details"]["door"]) for one in reads] == [("refused", "sql"), ("refused", "file")]

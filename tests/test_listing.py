"""Datasets over HTTP come in pages, and hidden ones change none of them."""

import requests
from fields import random_netcdf
from records import write_record
from test_oai import RESTRICTED


def test_pages_hold_what_the_caller_may_know(new_lab, tmp_path):
    lab = new_lab("ornl")
    path = random_netcdf(tmp_path / "x.nc", 5, "NETCDF4", "noleap")

    def register(name, **changes):
        lab.run("register", write_record(tmp_path / f"{name}.yaml", [path], name=name, **changes))

    names = [f"d{number:02}" for number in range(13)]
    for name in names:
        register(name)
    lab.start()

    def pages(limit):
        found, cursor = [], ""
        while cursor is not None:
            page = requests.get(f"{lab.http_url}/api/v1/datasets", params={"cursor": cursor, "limit": limit}, timeout=60)
            assert page.status_code == 200, page.text
            found.append([dataset["name"] for dataset in page.json()["datasets"]])
            cursor = page.json()["next"]
        return found

    before = {limit: pages(limit) for limit in (1, 4, 13, 14, 1000)}
    assert before[4] == [names[:4], names[4:8], names[8:12], names[12:]] and before[13] == before[14] == [names]
    for name in ("a", "d00_", "d03x", "d12z", "z"):
        register(name, **{**RESTRICTED, "exposure": "none"})
    assert {limit: pages(limit) for limit in before} == before
    owner = {dataset["name"] for dataset in lab.run("search", "--json", "--limit", "100").json()["hits"]}
    assert len(owner) == 18
    for wrong in (0, 1001, "x", -1):
        refused = requests.get(f"{lab.http_url}/api/v1/datasets", params={"limit": wrong}, timeout=60)
        assert refused.status_code == 400, refused.text

"""Searches that people keep, elements of formulas, and parts of files, over the command line and HTTP."""

import subprocess

import h5py
import numpy as np
import pytest
import requests
from fields import random_netcdf
from records import write_record


def token(lab, name, scope="read"):
    text = lab.run("token", "create", "--name", name, "--scope", scope, "--quiet").out.strip()
    return {"Authorization": f"Bearer {text}"}


def nexus(path, formula):
    """A small NeXus file of one sample; the monochromator has a formula too."""
    with h5py.File(path, "w") as file:
        file.attrs["NX_class"] = "NXroot"
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        for name, text in (("sample", formula), ("monochromator", "Ge")):
            group = entry.create_group(name)
            group.attrs["NX_class"] = "NXsample" if name == "sample" else "NXcrystal"
            group["chemical_formula"] = text
        entry.create_group("data")["counts"] = np.arange(12.0)
    return path


@pytest.fixture
def lab(new_lab, tmp_path):
    lab = new_lab("ornl")
    lab.file = random_netcdf(tmp_path / "x.nc", 5, "NETCDF4", "noleap")

    def register(name, files=None, **changes):
        return lab.run("register", write_record(tmp_path / f"{name}.yaml", files or [lab.file], name=name, **changes))

    lab.register = register
    return lab


def test_the_owner_keeps_runs_lists_and_forgets_searches(lab):
    lab.register("a")
    kept = lab.run("search", "random", "--filter", "tier=public", "--facet", "lab", "--limit", "5", "--save", "my fields", "--json")
    assert kept.json()["new"] is None and kept.json()["total"] == 1
    lab.register("b")
    again = lab.run("search", "--saved", "my fields", "--json").json()
    assert again["new"] == ["ornl.b"] and {hit["name"] for hit in again["hits"]} == {"a", "b"}
    assert dict(again["facets"]["lab"]) == {"ornl": 2}
    done = lab.run("search", "--saved", "my fields")
    assert "new since it ran before: nothing" in done.err
    listed = lab.run("search", "--list-saved", "--json").json()
    assert [(one["name"], one["request"]["filters"], one["request"]["limit"]) for one in listed] == [("my fields", [["tier", "public"]], 5)]
    assert "my fields" in lab.run("search", "--list-saved").out
    # A backup takes them along.
    lab.run("search", "--forget", "my fields")
    assert lab.run("search", "--list-saved", "--json").json() == []
    assert lab.run("search", "--saved", "my fields", code=None).code == 4
    for wrong in (["--saved", "x", "words"], ["--save", "x", "--saved", "y"], ["--limit", "0"], ["--forget", "x", "--list-saved"]):
        assert lab.run("search", *wrong, code=None).code == 2, wrong


def test_searches_over_http_are_private_and_decide_anew(lab):
    lab.register("a")
    ann, bob = token(lab, "ann"), token(lab, "bob", "admin")
    lab.start()
    api = f"{lab.http_url}/api/v1/searches"
    saved = requests.put(f"{api}/my%20ice", params={"q": "random", "tier": "public", "facet": ["lab", "tier"], "limit": 3}, headers=ann, timeout=60)
    assert saved.status_code == 200, saved.text
    assert saved.json()["request"] == {"text": "random", "filters": [["tier", "public"]], "facets": ["lab", "tier"], "limit": 3}
    assert [one["name"] for one in requests.get(api, headers=ann, timeout=60).json()["searches"]] == ["my ice"]
    first = requests.post(f"{api}/my%20ice/run", headers=ann, timeout=60).json()
    plain = requests.get(f"{lab.http_url}/api/v1/search?q=random&tier=public&facet=lab&facet=tier&limit=3", headers=ann, timeout=60).json()
    assert first["new"] is None and [first[key] for key in ("hits", "total", "facets")] == [plain[key] for key in ("hits", "total", "facets")]
    assert requests.get(f"{api}/my%20ice", headers=ann, timeout=60).json()["ran_at"]
    lab.register("b")
    assert requests.post(f"{api}/my%20ice/run", headers=ann, timeout=60).json()["new"] == ["ornl.b"]
    assert requests.get(api, headers=bob, timeout=60).json() == {"searches": []}
    # Another person's is as if it did not exist.
    said = set()
    for name in ("my%20ice", "no%20ice"):
        for method, path in (("GET", name), ("DELETE", name), ("POST", f"{name}/run")):
            refused = requests.request(method, f"{api}/{path}", headers=bob, timeout=60)
            assert refused.status_code == 404
            said.add(refused.text.replace("my ice", "NAME").replace("no ice", "NAME"))
    assert len(said) == 1
    for method, path in (("GET", ""), ("PUT", "/x"), ("GET", "/x"), ("DELETE", "/x"), ("POST", "/x/run")):
        assert requests.request(method, f"{api}{path}", timeout=60).status_code == 403
    for name, query in (("x", "colour=red"), ("x", "limit=0"), ("x", "cursor=00000000.a.b"), ("%E2%80%8Bx", "q=a"), ("a%2Fb", "q=a"), ("x", "elements=Xx")):
        refused = requests.put(f"{api}/{name}?{query}", headers=ann, timeout=60)
        assert refused.status_code == 400 and refused.headers["content-type"] == "application/problem+json", (name, query)
    assert requests.delete(f"{api}/my%20ice", headers=ann, timeout=60).status_code == 204
    assert requests.get(api, headers=ann, timeout=60).json() == {"searches": []}
    refused = requests.get(f"{lab.http_url}/api/v1/search?limit=0", timeout=60)
    assert refused.status_code == 400 and "1 to 1000" in refused.json()["detail"]


def test_samples_are_found_by_elements(lab, tmp_path):
    lab.register("oxide", [nexus(tmp_path / "oxide.h5", "La1.85Sr0.15CuO4")])
    lab.register("steel", formulas=["Fe", "C"])
    # What the file says stands in the record that is made from it.
    assert "La1.85Sr0.15CuO4" in lab.run("record", "new", tmp_path / "oxide.h5").out
    lab.start()

    def found(query):
        answer = requests.get(f"{lab.http_url}/api/v1/search?{query}", timeout=60)
        assert answer.status_code == 200, answer.text
        return sorted(hit["name"] for hit in answer.json()["hits"])

    assert found("elements=Cu,O") == found("elements=O&elements=La") == found("elements_only=La,Sr,Cu,O") == ["oxide"]
    assert found("elements=Fe") == found("elements_only=Fe") == ["steel"]
    # Formulas are found as words too, as they are written and in one; and so are terms of vocabularies.
    assert found("q=La1.85Sr0.15CuO4") == ["oxide"]
    lab.register("rust", formulas=["Fe2 O3"], subjects=[{"term": "haematite", "scheme": "minerals"}])
    assert found("q=Fe2O3") == found("q=fe2o3") == found("q=Fe2%20O3") == found("q=haematite") == ["rust"]
    assert found("elements=Fe,O") == ["rust"]
    assert found("elements=Fe,C") == found("elements=Ge") == []
    assert [hit["name"] for hit in lab.run("search", "--filter", "elements=Sr,Cu", "--json").json()["hits"]] == ["oxide"]
    refused = requests.get(f"{lab.http_url}/api/v1/search?elements=Fe,o", timeout=60)
    assert refused.status_code == 400 and "did you mean O?" in refused.json()["detail"]
    refused = lab.run("register", write_record(tmp_path / "bad.yaml", [lab.file], name="bad", formulas=["Fe2O3", "Fe2)"]), code=5)
    assert "/formulas/1" in refused.err and "a bracket closes" in refused.err


def test_parts_of_files_come_by_range(lab, tmp_path):
    lab.register("a")
    held = {"embargo": {"until": "2027-06-01", "reason": "in review"}}
    lab.register("held", **held)
    lab.start()
    whole = lab.file.read_bytes()
    url = f"{lab.http_url}/api/v1/datasets/ornl/a/files/0/x.nc"

    def get(method="GET", **headers):
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        return requests.request(method, url, headers={"Accept-Encoding": "identity", **headers}, timeout=60)

    first = get()
    assert first.status_code == 200 and first.content == whole and first.headers["accept-ranges"] == "bytes"
    tag, size = first.headers["etag"], len(whole)
    for text, part in (("bytes=0-0", whole[:1]), ("bytes=10-99", whole[10:100]), (f"bytes={size - 5}-", whole[-5:]), ("bytes=-7", whole[-7:]), (f"bytes=5-{size * 9}", whole[5:])):
        answer = get(Range=text)
        start = whole.index(part) if len(part) > 7 else None
        assert answer.status_code == 206 and answer.content == part, text
        assert answer.headers["content-length"] == str(len(part)) and answer.headers["etag"] == tag
        assert answer.headers["content-range"].endswith(f"/{size}")
        assert start is None or answer.headers["content-range"].startswith(f"bytes {start}-")
    behind = get(Range=f"bytes={size}-")
    assert behind.status_code == 416 and behind.headers["content-range"] == f"bytes */{size}"
    assert behind.headers["content-type"] == "application/problem+json"
    for text in ("bytes=0-1,5-6", "lines=1-2", "bytes=x", "bytes=9-2"):
        assert get(Range=text).status_code == 200, text
    assert get(Range="bytes=0-3", If_Range=tag).content == whole[:4]
    assert get(Range="bytes=0-3", If_Range='"other"').content == whole
    known = get(If_None_Match=f'"x", {tag}')
    assert known.status_code == 304 and known.content == b"" and known.headers["etag"] == tag
    assert get(If_None_Match='"x"').status_code == 200
    head = get("HEAD")
    assert head.status_code == 200 and head.headers["content-length"] == str(size) and head.content == b""
    # A download that stopped goes on.
    half = tmp_path / "half.nc"
    half.write_bytes(whole[: size // 2])
    subprocess.run(["curl", "-sS", "-f", "-C", "-", "-o", half, url], check=True, timeout=60)
    assert half.read_bytes() == whole
    # Who may not have the data hears neither of ranges nor of tags.
    for headers in ({}, {"Range": "bytes=0-1"}, {"Range": f"bytes={size}-"}, {"If-None-Match": tag}, {"If-None-Match": "*"}):
        refused = requests.get(url.replace("/a/", "/held/"), headers=headers, timeout=60)
        assert refused.status_code == 403 and "etag" not in refused.headers and "content-range" not in refused.headers
    reads = [entry for entry in lab.run("audit", "list", "--json").json() if entry["act"] == "read"]
    assert len(reads) == 5 and {entry["outcome"] for entry in reads} == {"refused"}
    # One that changed is told so, and no part of it is given out.
    lab.file.write_bytes(whole + b"more")
    assert get(Range="bytes=0-1").status_code == 409
    lab.file.write_bytes(whole[:10])
    assert get(Range=f"bytes={size - 5}-").status_code == 409


def test_a_cursor_goes_on_with_its_own_search_alone(lab):
    for name in ("a", "b", "c"):
        lab.register(name)
    ann, bob = token(lab, "ann"), token(lab, "bob")
    lab.start()
    api = f"{lab.http_url}/api/v1"

    def search(who=ann, **params):
        return requests.get(f"{api}/search", params={"limit": 1, **params}, headers=who, timeout=60)

    first = search(q="random", tier="public").json()
    names, following = [hit["name"] for hit in first["hits"]], first["next"]
    while following:
        page = search(q="random", tier="public", cursor=following).json()
        names += [hit["name"] for hit in page["hits"]]
        following = page.get("next")
    assert sorted(names) == ["a", "b", "c"]
    cursor = first["next"]
    assert search(q="random", tier="public", cursor=cursor, limit=2, facet="tier").status_code == 200
    for who, other in (
        (ann, {"q": "fields", "tier": "public"}),
        (ann, {"q": "random"}),
        (ann, {"q": "random", "tier": "registered"}),
        (bob, {"q": "random", "tier": "public"}),
        ({}, {"q": "random", "tier": "public"}),
    ):
        refused = search(who, **other, cursor=cursor)
        assert refused.status_code == 400 and "without a cursor" in refused.json()["detail"], (other, refused.text)
    for wrong in ("x", cursor.split(".", 1)[1], cursor + "!", "0" * 16 + cursor[16:]):
        assert search(q="random", tier="public", cursor=wrong).status_code == 400, wrong
    # A search that was saved is the search that it is; once it is another, its cursors go on nowhere.
    saved = f"{api}/searches/mine"
    assert requests.put(saved, params={"q": "random", "limit": 1}, headers=ann, timeout=60).status_code == 200
    page = requests.post(f"{saved}/run", headers=ann, timeout=60).json()
    more = requests.post(f"{saved}/run", params={"cursor": page["next"]}, headers=ann, timeout=60)
    assert more.status_code == 200 and more.json()["hits"][0]["name"] != page["hits"][0]["name"]
    assert requests.put(saved, params={"q": "fields", "limit": 1}, headers=ann, timeout=60).status_code == 200
    assert requests.post(f"{saved}/run", params={"cursor": page["next"]}, headers=ann, timeout=60).status_code == 400


def test_a_misspelt_unit_is_refused_and_no_word(lab):
    lab.register("a")
    lab.start()

    def search(text):
        return requests.get(f"{lab.http_url}/api/v1/search", params={"q": text}, timeout=60)

    for text, unit, meant in (
        ("sea_water_temperature > 20 degX", "degX", "did you mean"),
        ("air_temperature < 300 kelvn", "kelvn", "kelvin"),
        ("air_temperature > 20 Frobnitz", "Frobnitz", "no unit"),
    ):
        refused = search(text)
        assert refused.status_code == 400, refused.text
        assert unit in refused.json()["detail"] and meant in refused.json()["detail"], refused.text
    for text in ("signal > noise", "random > fields", "sea_water_temperature > 20 degC", "heat -> work"):
        assert search(text).status_code == 200, text
    assert search("random > fields").json()["total"] == 1

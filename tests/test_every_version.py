"""What one version closes stays closed, whatever the others say: bytes, tables, inherited limits and lineage."""

import pytest
from test_access import header, token
from test_limits_handed_on import EMBARGO, US, of, shown
from test_two_people import CLOSED, CUI, Desk


@pytest.fixture
def desk(new_lab, tmp_path):
    desk = Desk(new_lab, tmp_path)
    desk.people["root"] = header(token(desk.lab, "root", "admin"))
    return desk


def older(desk, who, name, version, file):
    return desk.ask(who, "GET", f"/datasets/ornl/{name}@{version}/files/0/{file}").status_code


def test_bytes_that_an_older_version_closes_are_published_by_nobody_alone(desk):
    for name in ("raw.nc", "clean.nc", "marked.nc", "plain.nc", "late.nc", "soon.nc", "free.nc"):
        desk.file(name)
    assert desk.submit("bob", "study", "raw.nc", **CLOSED).status_code == 202
    assert desk.approve("gus", "study").status_code == 201
    assert desk.submit("bob", "study", "clean.nc").status_code == 202
    assert desk.approve("gus", "study").status_code == 201
    assert (older(desk, None, "study", 1, "raw.nc"), desk.reads(None, "study", "clean.nc")) == (403, 200)
    desk.register("marked", "marked.nc", **{**CLOSED, "exposure": "none", "markings": ["OUO"]})
    desk.register("marked", "plain.nc")
    desk.register("late", "late.nc", embargo=EMBARGO)
    desk.register("late", "soon.nc")
    for file in ("raw", "marked", "late"):
        waits = desk.submit("eve", f"copy-{file}", f"{file}.nc")
        assert waits.status_code == 202, (file, waits.text)
        assert desk.reads(None, f"copy-{file}", f"{file}.nc") == 404
        # Nor is anything told of what is in them.
        assert desk.ask("eve", "POST", f"/drafts/copy-{file}/check").status_code == 400
    # Under the name of the dataset itself, too.
    assert desk.submit("eve", "study", "raw.nc").status_code == 202
    # What the newest version gives to everyone is nobody's secret.
    desk.register("both", "free.nc", embargo=EMBARGO)
    desk.register("both", "free.nc")
    assert desk.submit("eve", "free", "free.nc").status_code == 201


def test_bytes_that_wait_in_another_persons_draft_are_held_under_any_name(desk):
    for name in ("m.nc", "y.nc", "f.nc", "z.nc", "q.nc", "w.nc"):
        desk.file(name)
    assert desk.submit("bob", "m", "m.nc").status_code == 201
    assert desk.submit("ann", "m", "y.nc", embargo=EMBARGO).status_code == 202
    for name in ("m", "other"):
        assert desk.submit("eve", name, "y.nc").status_code == 202, name
    assert desk.reads(None, "m", "y.nc") == 404 and desk.reads(None, "m", "m.nc") == 200
    # A check tells nothing of them under the same name.
    assert desk.submit("bob", "f", "f.nc").status_code == 201
    assert desk.submit("ann", "f", "z.nc", **CLOSED).status_code == 202
    desk.put("eve", "f", "z.nc")
    checked = desk.ask("eve", "POST", "/drafts/f/check")
    assert checked.status_code == 400 and "extent" not in checked.text
    # Who approves opens no more of them than their author did.
    desk.register("q", "q.nc", conditions=US)
    assert desk.submit("ann", "q", "w.nc", **CLOSED).status_code == 202
    assert desk.submit("eve", "q", "w.nc").status_code == 202
    revision = desk.ask("eve", "GET", "/drafts/q").json()["revision"]
    approved = desk.ask("root", "POST", "/drafts/q/approve?author=person:eve", {"revision": revision})
    assert approved.status_code == 403, approved.text
    # One's own draft is in nobody's way.
    assert desk.submit("ann", "m", "y.nc").status_code in (201, 202)

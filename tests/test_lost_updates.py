"""Nobody overwrites what they did not see, and nobody's draft stands in another's way."""

import pytest
from test_two_people import CLOSED, SOON, Desk

EMBARGO = {"until": SOON, "reason": "a paper is being written"}
TERMS = {"id": "https://tarn.example/terms", "sha256": "0" * 64}


@pytest.fixture
def desk(new_lab, tmp_path):
    return Desk(new_lab, tmp_path)


def shown(desk, name):
    return desk.lab.run("show", name, "--json").json()


def test_what_was_closed_meanwhile_stays_closed(desk):
    """A draft keeps the version that it was edited from, through submitting, return and approval."""
    closer = {**CLOSED, "title": "What the owner closed meanwhile", "markings": ["OUO"], "embargo": EMBARGO}
    # The owner is faster than the one who saved a draft and submits it.
    desk.file("d.nc")
    assert desk.submit("ann", "d", "d.nc", **CLOSED).status_code == 202
    assert desk.approve("gus", "d").status_code == 201
    desk.put("ann", "d", "d.nc", **{**CLOSED, "title": "What ann thinks of it all"})
    assert desk.ask("ann", "GET", "/drafts/d").json()["edited_from"] == 1
    desk.register("d", "d.nc", **closer)
    late = desk.ask("ann", "POST", "/drafts/d/submit")
    assert late.status_code == 409 and "version 2 by now" in late.json()["detail"], late.text
    assert desk.ask("ann", "POST", "/drafts/d/submit").status_code == 409
    # She was told, and saves what she makes of the newest version.
    assert desk.submit("ann", "d", "d.nc", **{**closer, "title": "What both think of it all"}).status_code == 202
    assert desk.ask("ann", "GET", "/drafts/d").json()["edited_from"] == 2
    # It waits, and the owner is faster again: neither approval nor submitting it again overwrites that.
    desk.register("d", "d.nc", **{**closer, "markings": ["OUO", "PROT"], "marking_details": {"release_date": SOON}})
    assert desk.approve("gus", "d").status_code == 409
    assert desk.ask("gus", "POST", "/drafts/d/return", {"reason": "there is a newer version"}).status_code == 200
    assert desk.ask("ann", "POST", "/drafts/d/submit").status_code == 409
    now = shown(desk, "d")
    assert now["version"] == 3 and now["record"]["markings"] == ["OUO", "PROT"] and now["record"]["embargo"] == EMBARGO


def test_a_draft_says_which_version_it_was_edited_from(desk):
    desk.file("w.nc")
    assert desk.submit("bob", "w", "w.nc").status_code == 201
    record = desk.ask("ann", "GET", "/datasets/ornl/w").json()
    assert record["version"] == 1
    assert desk.submit("eve", "w", "w.nc", title="What eve thinks of this one").status_code == 201
    body = {**record["record"], "title": "What ann thinks of this one"}
    refused = desk.ask("ann", "PUT", "/drafts/w?from=1", body)
    assert refused.status_code == 409 and "version 2 by now" in refused.json()["detail"], refused.text
    assert desk.ask("ann", "GET", "/drafts/w").status_code == 404
    assert desk.ask("ann", "PUT", "/drafts/w?from=two", body).status_code == 400
    kept = desk.ask("ann", "PUT", "/drafts/w?from=2", body)
    assert kept.status_code == 200 and kept.json()["edited_from"] == 2
    # Saved again without a word of it, it is of the same version.
    assert desk.submit("eve", "w", "w.nc", title="What eve thinks of it today").status_code == 201
    assert desk.ask("ann", "PUT", "/drafts/w", body).json()["edited_from"] == 2
    assert desk.ask("ann", "POST", "/drafts/w/submit").status_code == 409
    assert shown(desk, "w")["record"]["title"] == "What eve thinks of it today"
    # A draft of a new name that somebody else registers meanwhile replaces nothing either.
    desk.file("n.nc")
    desk.put("ann", "n", "n.nc")
    desk.register("n", "n.nc", title="What the owner registered first")
    assert desk.ask("ann", "POST", "/drafts/n/submit").status_code == 409


def test_a_draft_stands_in_nobodys_way(desk):
    for name in ("q.nc", "p.nc"):
        desk.file(name)
    assert desk.submit("bob", "q", "q.nc").status_code == 201
    assert desk.ask("eve", "PUT", "/drafts/q", {"name": "q"}).status_code == 200
    closed = desk.submit("bob", "q", "q.nc", embargo=EMBARGO)
    assert closed.status_code == 201, closed.text
    # What opens waits, and what closes goes on beside it.
    conditions = {"countries": ["US"], "assurance": "low"}
    desk.register("p", "p.nc", conditions=conditions)
    assert desk.submit("ann", "p", "p.nc").status_code == 202
    assert desk.submit("bob", "p", "p.nc", conditions=conditions, embargo=EMBARGO).status_code == 201
    # Those who look at two of one name say whose they mean.
    assert desk.submit("eve", "p", "p.nc", title="Another title of this dataset").status_code == 202
    listed = desk.lab.run("draft", "list", "--json").json()
    assert [(one["record"]["name"], one["author"]) for one in listed] == [("p", "person:ann"), ("p", "person:eve"), ("q", "person:eve")]
    assert "--author" in desk.lab.run("draft", "show", "p", code=None).err
    one = desk.lab.run("draft", "show", "p", "--author", "person:eve").json()
    assert one["record"]["title"] == "Another title of this dataset"
    done = desk.lab.run("draft", "approve", "p", "--author", "person:eve", "--revision", str(one["revision"]), "--json")
    assert done.json()["version"] == 3
    # Ann's was of the version before.
    assert desk.lab.run("draft", "approve", "p", "--revision", "2", code=None).code != 0
    assert desk.ask("ann", "POST", "/drafts/p/submit").status_code == 409
    # A new name is one person's, as before.
    desk.put("ann", "new")
    assert desk.ask("bob", "PUT", "/drafts/new", {"name": "new"}).status_code == 409


def test_a_dataset_has_a_tag_and_of_two_writers_one_is_told(desk):
    desk.file("e.nc")
    assert desk.submit("bob", "e", "e.nc").status_code == 201
    seen = desk.ask("ann", "GET", "/datasets/ornl/e")
    assert seen.headers["etag"] == '"v1"' and seen.json()["version"] == 1
    # Ann read it before bob's next version was registered, and says so.
    assert desk.submit("bob", "e", "e.nc", title="What bob thinks of this one").status_code == 201
    body = {**seen.json()["record"], "title": "What ann thinks of this one"}
    late = desk.ask("ann", "PUT", "/drafts/e", body, **{"If-Match": seen.headers["etag"]})
    assert late.status_code == 412 and "version 2 by now" in late.json()["detail"], late.text
    assert late.headers["content-type"] == "application/problem+json" and late.json()["status"] == 412
    assert desk.ask("ann", "GET", "/drafts/e").status_code == 404
    # Both have read the newest: whoever registers first wins, and the other hears it when they submit.
    tag = desk.ask("ann", "GET", "/datasets/ornl/e").headers["etag"]
    assert tag == '"v2"'
    for who in ("ann", "eve"):
        kept = desk.ask(who, "PUT", "/drafts/e", {**body, "title": f"What {who} thinks of it now"}, **{"If-Match": tag})
        assert kept.status_code == 200 and kept.headers["etag"] == '"1"' and kept.json()["edited_from"] == 2
    assert desk.ask("eve", "POST", "/drafts/e/submit").status_code == 201
    assert desk.ask("ann", "POST", "/drafts/e/submit").status_code == 409
    assert shown(desk, "e")["record"]["title"] == "What eve thinks of it now"
    for wrong, status in (('"x"', 400), ('"v"', 400), ('"v2", "v3"', 400), ('"v99"', 412)):
        assert desk.ask("ann", "PUT", "/drafts/e", body, **{"If-Match": wrong}).status_code == status, wrong
    assert desk.ask("ann", "PUT", "/drafts/e?from=2", body, **{"If-Match": '"v3"'}).status_code == 400
    new = desk.ask("ann", "PUT", "/drafts/never", {"name": "never"}, **{"If-Match": '"v1"'})
    assert new.status_code == 412, new.text

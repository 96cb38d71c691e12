"""`tarn doctor`: what a node needs, what is wrong with it, and what to do."""

from story.labs import Tarn


def found(lab, **more):
    """Every check by its name."""
    return {check["what"]: check for check in lab.run("doctor", "--json", **more).json()}


def test_a_home_that_works_is_good_and_nothing_is_left_behind(new_lab, tmp_path):
    lab = new_lab("ornl", settings=f'[stores.data]\nurl = "{tmp_path}"\n')
    before = sorted((lab.home / "store").rglob("*"))
    checks = found(lab)
    assert {check["state"] for check in checks.values()} <= {"good", "warning"}, checks
    assert {"home", "tarn.toml", "disk", "HTTP", "Flight", "catalog", "store", "stores.data"} <= set(checks)
    assert "not running" in checks["HTTP"]["found"]
    assert sorted((lab.home / "store").rglob("*")) == before
    lab.start()
    assert "listens" in found(lab)["HTTP"]["found"]
    assert "catalog" in lab.run("doctor").out


def test_what_is_wrong_is_named_with_what_to_do(new_lab, tmp_path):
    lab = new_lab("ornl", settings=f'[stores.gone]\nurl = "{tmp_path}/gone"\n')
    checks = found(lab, code=1)
    assert checks["stores.gone"]["state"] == "bad" and "gone" in checks["stores.gone"]["found"]
    assert checks["stores.gone"]["fix"]
    assert checks["store"]["state"] == "good"
    lab.home.chmod(0o777)
    assert found(lab, code=1)["home"]["state"] == "warning"
    lab.home.chmod(0o700)
    (lab.home / "catalog.sqlite").write_bytes(b"no database")
    checks = found(lab, code=1)
    assert checks["catalog"]["state"] == "bad"
    (lab.home / "tarn.toml").write_text("lab = 3")
    assert found(lab, code=1)["tarn.toml"]["state"] == "bad"


def test_a_peer_that_is_away_is_named(new_lab):
    one, other = new_lab("ornl", start=True), new_lab("llnl", start=True)
    invitation = one.run("peer", "invite", "--quiet").out.strip()
    other.run("peer", "accept", invitation)
    assert found(other)["peer ornl"]["state"] == "good"
    one.stop()
    away = found(other)["peer ornl"]
    assert away["state"] == "warning" and away["fix"]


def test_without_a_home_it_says_how_to_make_one(binary, tmp_path):
    checks = found(Tarn(binary, env={"HOME": str(tmp_path)}), code=1)
    assert checks["home"]["state"] == "bad" and "tarn init" in checks["home"]["fix"]

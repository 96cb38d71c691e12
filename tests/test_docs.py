"""The commands in the README and the tutorial run as they stand."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# A server stays, a peer is another machine, a build is not the business of a test.
NOT_HERE = re.compile(r"tarn (serve|peer|token)|make |my/data|mylab|INVITATION|PATH=")


def blocks(page):
    """The indented or fenced shell blocks of a page that a reader can run in a clone."""
    text = (ROOT / page).read_text(encoding="utf-8")
    fences = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = [block for language, block in fences if language in ("", "console")]
    return [block for block in found if not NOT_HERE.search(block.replace("--lab mylab", ""))]


def commands(block):
    """The commands of a block; of a transcript (`$ …`) the lines with a prompt."""
    if not block.startswith("$ "):
        return block
    return "\n".join(line[2:] for line in block.splitlines() if line.startswith(("$ ", "> ")))


def shown(block):
    """The output that a transcript shows; `…` stands for what is left out."""
    if not block.startswith("$ "):
        return []
    return [line for line in block.splitlines() if not line.startswith(("$ ", "> ")) and line != "…"]


def general(text, folder):
    """Output without what is of this run: folders and minted identifiers."""
    text = text.replace(f"{ROOT}/", "").replace(f"{folder}/", "/tmp/")
    return re.sub(r"ark:/\S+", "ark:", text)


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_the_commands_of_a_page_run_in_order_and_print_what_it_shows(binary, tmp_path, page):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tarn").symlink_to(binary)
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path)}
    found = blocks(page)
    assert len(found) >= 3, f"{page} has no commands to run"
    for block in found:
        script = commands(block).replace("/tmp/", f"{tmp_path}/")
        if "export TARN_HOME" in script:
            environment["TARN_HOME"] = str(tmp_path / "my-lab")
        done = subprocess.run(
            ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        # A dry run of a record that is not complete says so with its exit code.
        expected = (0, 5) if script.rstrip().endswith("--dry-run") else (0,)
        assert done.returncode in expected, f"{script}\n{done.stdout}\n{done.stderr}"
        assert "panicked" not in done.stderr
        printed = general(done.stdout + done.stderr, tmp_path).splitlines()
        for line in shown(block):
            assert general(line, tmp_path) in printed, "\n".join(printed)

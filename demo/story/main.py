"""Tells the story in order and counts what was wrong."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import check, questions, show
from .labs import Failed, Lab

DEMO = Path(__file__).resolve().parent.parent
ROOT = DEMO.parent
DATA = DEMO / "data"

TA = [
    "--grid",
    "time_plev_lat_lon",
    "--column",
    "model=attribute:source_id",
    "--column",
    "calendar=attribute:time:calendar",
    "--column",
    "year=cf_year(time)",
    "--column",
    "month=cf_month(time)",
    "--column",
    r"file=path:([^/]+)$",
    "--select",
    "model,calendar,year,month,plev,lat,lon,ta,file",
]
SCENARIO = [
    "--grid",
    "time_latitude_longitude",
    "--column",
    r"scenario=path:([A-Z0-9]+)_north_america",
    "--column",
    "year=cf_year(time)",
]

# lab, dataset, table, how its rows are stored, rows, sources, options
TABLES = [
    ("ornl", "cmip6", "ta", "Delta", 36_240, ["ornl/*.nc"], TA),
    ("llnl", "cmip6", "ta", "in place", 45_600, ["llnl/ta_*.nc"], [*TA, "--in-place"]),
    (
        "llnl",
        "scenarios",
        "annual",
        "Delta",
        870_240,
        ["llnl/*_north_america.nc"],
        [
            *SCENARIO,
            "--column",
            "lat=variable:latitude",
            "--column",
            "lon=variable:longitude",
            "--select",
            "scenario,year,lat,lon,air_temperature",
        ],
    ),
    (
        "llnl",
        "scenarios",
        "fields",
        "tensors in place",
        480,
        ["llnl/*_north_america.nc"],
        [*SCENARIO, "--layout", "tensors", "--select", "scenario,year,air_temperature", "--in-place"],
    ),
    (
        "anl",
        "usaxs",
        "reduced",
        "in place",
        747,
        ["anl/*.h5"],
        [
            "--grid",
            "entry_flyScan_reduced_250_dim_0",
            "--column",
            r"scan=path:S([0-9]+)_[^/]*$",
            "--column",
            r"sample=path:S[0-9]+_([^/]*)\.h5$",
            "--column",
            "bin=variable:dim_0",
            "--column",
            "q=variable:Q",
            "--column",
            "r=variable:R",
            "--select",
            "scan,sample,bin,q,r",
            "--in-place",
        ],
    ),
    (
        "anl",
        "usaxs",
        "scans",
        "in place",
        50,
        ["anl/02_03_setup.dat"],
        ["--select", "scan,macro,args,started", "--in-place"],
    ),
]


class Story:
    """The story with its labs; counts answers."""

    def __init__(self, binary, folder):
        self.labs = {name: Lab(binary, name, folder) for name in ("ornl", "llnl", "anl")}
        self.expected = check.load(DEMO)
        self.right = self.wrong = 0

    def stop(self):
        """Stops every server."""
        for lab in self.labs.values():
            lab.stop()

    def judge(self, right):
        """Counts one answer."""
        if right:
            self.right += 1
        else:
            self.wrong += 1

    def tell(self):
        """Everything, in order."""
        show.paragraph("""Three labs run Tarn on this machine, each with its own catalog, its own store and its own
            server. No files are shared between them; every question goes to one lab, which asks the others for what
            it needs.""")
        self.connect()
        self.fill()
        self.ask_all()
        self.stream()
        self.lose_a_lab()

    def connect(self):
        """Homes, servers, peers."""
        show.chapter("Three labs")
        began = time.perf_counter()
        for lab in self.labs.values():
            lab.init()
            lab.start()
            show.say(f"  {lab.name:5} {lab.http_url}  {lab.flight_url}")
        ornl, llnl, anl = self.labs.values()
        for inviting, accepting in ((ornl, llnl), (ornl, anl), (llnl, anl)):
            inviting.invite(accepting)
        show.say(show.dim(f"  each pair joined by one invitation; ready in {time.perf_counter() - began:.1f} s"))

    def fill(self):
        """Records and tables."""
        show.chapter("Register and ingest")
        datasets = []
        for record in sorted(DEMO.glob("records/*/*.yaml")):
            lab = self.labs[record.parent.name]
            done = lab.run("register", record.name, "--json", cwd=record.parent)
            made = done.json()
            score, took = f"{made['fair_score']:.0f} %", f"{done.seconds:.1f} s"
            datasets.append([f"{lab.name}.{made['name']}", made["ark"], score, took])
        show.table(["dataset", "identifier", "FAIR", "took"], datasets)
        show.say()
        shown, all_right = [], True
        for name, dataset, table, kind, rows, sources, options in TABLES:
            lab = self.labs[name]
            files = [str(DATA / source) for source in sources]
            done = lab.run("ingest", *files, "--dataset", dataset, "--table", table, *options, "--json")
            made = {entry["name"]: entry["rows"] for entry in done.json()["tables"]}
            all_right &= made.get(table) == rows
            shown.append(
                [
                    f"{name}.{dataset}.{table}",
                    kind,
                    made.get(table),
                    rows,
                    "✓" if made.get(table) == rows else "✗",
                    f"{done.seconds:.1f} s",
                ]
            )
        show.table(["table", "stored as", "rows", "expected", "", "took"], shown)
        self.judge(all_right)

    def ask_all(self):
        """Q1 to Q8."""
        show.chapter("The number that was wrong")
        show.paragraph("""Air temperature of eight climate models lies in two labs, in five calendars. Some files hold
            9.96921e36 where nothing was written and do not say so; Tarn gives NULL there.""")
        self.ask(questions.Q1)
        self.ask(questions.Q2)
        show.paragraph("""E3SM leads by far. Before anyone writes that down:""")
        culprit = self.ask(questions.Q3)
        for name in sorted({row[culprit.columns.index("file")] for row in culprit.rows}):
            show.say(f"  all in {name}")
        show.paragraph("""Eight cells of one published file, left behind by a regridding: 15.7 K is for the space between
            the stars. Tarn never drops them silently; they are data until somebody says otherwise.""")
        self.ask(questions.Q3_WITHOUT)
        show.paragraph(
            """From first to sixth. The number was wrong, and the cells that made it wrong have names now."""
        )
        show.chapter("More questions over the labs")
        for question in (questions.Q4, questions.Q5, questions.Q6, questions.Q7):
            self.ask(question)
        self.ask_in_kelvin()

    def ask(self, question, **options):
        """Asks, prints the answer beside the expected one, and counts."""
        show.say()
        show.say(f"{show.bold(question.id)}  {question.title}")
        show.query(question.sql)
        answer = self.labs[question.ask].sql(question.sql, **options)
        self.compare(question.id, question.key, answer)
        return answer

    def compare(self, name, key, answer):
        """Prints and counts one answer."""
        expected = self.expected[name]
        verdicts, right = check.rows(answer.columns, answer.rows, expected)
        columns, rows = show.shorten(answer.columns, answer.rows)
        show.beside(columns, rows, expected, key, verdicts)
        show.say(f"  {show.mark(right)} {answer.seconds:.2f} s; {show.sites(answer.sites)}")
        self.judge(right)

    def ask_in_kelvin(self):
        """Q8: columns are found by their standard name, then converted by their units."""
        show.say()
        show.say(f"{show.bold('Q8')}  Every air temperature of every lab, in kelvin")
        show.query(
            "tarn search --filter standard_name=air_temperature, then for each column found:\n"
            + questions.kelvin("LAB.DATASET.TABLE", "COLUMN", "UNITS")
        )
        lab, began = self.labs["anl"], time.perf_counter()
        found = lab.run("search", "--filter", "standard_name=air_temperature", "--json").json()
        rows, tensors = [], []
        for hit in found["hits"]:
            for table, columns in hit["tables"]:
                for column in columns:
                    if column.get("standard_name") != "air_temperature":
                        continue
                    name = f"{hit['lab']}.{hit['name']}.{table}"
                    if not column["data_type"].startswith("Float"):
                        tensors.append(name)
                        continue
                    answer = lab.sql(questions.kelvin(name, column["name"], column["units"]))
                    rows.append([name, *answer.rows[0]])
        expected = self.expected["Q8"]
        verdicts, right = check.rows(expected["columns"], sorted(rows), expected)
        show.beside(expected["columns"], sorted(rows), expected, "n", verdicts)
        beside = f"; {', '.join(tensors)} holds the same as tensors" if tensors else ""
        show.say(f"  {show.mark(right)} {time.perf_counter() - began:.2f} s{beside}; anl has none")
        self.judge(right)

    def stream(self):
        """An epoch of a shuffled stream, in Python."""
        show.chapter("An epoch of training batches")
        lab = self.labs["llnl"]
        token = lab.run("token", "create", "--name", "trainer", "--scope", "read", "--quiet").out.strip()
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "TARN_TOKEN": token}
        began = time.perf_counter()
        done = subprocess.run(
            [python(), str(DEMO / "train.py"), lab.flight_url, "llnl.scenarios.fields"],
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise Failed(f"demo/train.py: exit code {done.returncode}\n{done.stderr.strip()}")
        *lines, last = done.stdout.strip().splitlines()
        for line in lines:
            show.say(f"  {line}")
        expected = self.expected["stream"]
        rows = [row.split("\t") for row in last.split("|")]
        rows = [[row[0], int(row[1]), int(row[2]), float(row[3])] for row in rows]
        verdicts, right = check.rows(expected["columns"], rows, expected)
        show.beside(expected["columns"], rows, expected, "mean", verdicts)
        show.say(f"  {show.mark(right)} {time.perf_counter() - began:.2f} s with the start of Python")
        self.judge(right)

    def lose_a_lab(self):
        """One lab stops; the same question again."""
        show.chapter("llnl goes down, and the same question again")
        self.labs["llnl"].stop()
        done = self.labs["ornl"].run("sql", questions.Q2.sql, "--format", "json", code=None)
        honest = done.code == 1 and "llnl" in done.err and not done.out.strip()
        for line in done.err.strip().splitlines():
            show.say(f"  {line}")
        show.say(
            f"  {show.mark(honest)} exit code {done.code} after {done.seconds:.2f} s: no answer rather than a wrong one"
        )
        self.judge(honest)
        show.say()
        show.say(f"{show.bold('Q2 --partial allow')}  What the labs that answer can say")
        answer = self.labs["ornl"].sql(questions.Q2.sql, partial="allow", code=6)
        self.compare("partial", "warming", answer)
        told = any(site["lab"] == "llnl" and site["status"] != "ok" for site in answer.sites)
        show.say(f"  {show.mark(told)} exit code 6 (partial), and the answer says which lab is missing")
        self.judge(told)


def python():
    """The Python with pyarrow that scripts/setup.sh makes, or this one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    venv = Path(os.environ.get("TARN_VENV") or cache / "tarn" / "venv") / "bin" / "python"
    return str(venv) if venv.exists() else sys.executable


def explore(story, folder):
    """How to go on; with --explore the servers stay until Ctrl-C."""
    home = story.labs["ornl"].home
    show.say(f"  {story.labs['ornl'].binary} --home {home} sql")
    show.say(f"  {story.labs['ornl'].binary} --home {home} search temperature")
    show.say(f"  {story.labs['ornl'].binary} --home {home} show llnl.scenarios")
    show.say("Ctrl-C stops the labs and removes them.")
    story.labs["llnl"].start()
    try:
        signal.pause()
    except KeyboardInterrupt:
        show.say()


def find_binary():
    """TARN_BIN, or what `make build` left."""
    said = os.environ.get("TARN_BIN")
    for path in [Path(said)] if said else [ROOT / "target" / "release" / "tarn"]:
        if path.exists():
            return path.resolve()
    raise Failed(f"no binary{f' at {said}' if said else ''}: run make build, or set TARN_BIN")


def main(arguments):
    """Exit code 0 if every answer was right, 1 if not, 130 after Ctrl-C."""
    if arguments not in ([], ["--explore"]):
        print("usage: demo/run [--explore]", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="tarn-demo-") as folder:
        story = None
        try:
            story = Story(find_binary(), folder)
            story.tell()
            show.chapter("The end")
            total = story.right + story.wrong
            show.say(
                f"  {show.mark(not story.wrong)} {story.right} of {total} answers as expected, in {time.perf_counter() - began:.0f} s"
            )
            if arguments == ["--explore"]:
                explore(story, folder)
            else:
                show.say("  To explore: demo/run --explore keeps the labs running; then, in another terminal,")
                show.say("  tarn --home … sql opens a prompt over all three. README.md goes on with your own files.")
            return 1 if story.wrong else 0
        except KeyboardInterrupt:
            print("\nstopped; nothing is left running", file=sys.stderr)
            return 130
        except Failed as problem:
            print(f"\n{show.style('31;1', 'the demo failed')}: {problem}", file=sys.stderr)
            return 1
        finally:
            if story is not None:
                story.stop()

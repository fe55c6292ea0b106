#!/usr/bin/env python3
"""dashboards_test.py GRAFANA_FOLDER: what Grafana expects of dashboards, and what we promise.

Checked: the committed files are what generate.py writes; ids and uids are unique; panels lie inside
the grid without overlap and have a title, a description, a unit and targets; every data source is
the variable; every variable that is used is defined.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

PANELS = {"timeseries", "stat", "heatmap", "bargauge", "state-timeline"}
UNITS = {"none", "short", "s", "bytes", "Bps", "percentunit", "bool_on_off"}
BUILT_IN = {"__all", "__interval", "__rate_interval", "__range"}


def check_panel(panel, defined, say):
    where = f"panel {panel.get('title')!r}"
    for key in ("id", "title", "description", "type", "gridPos", "datasource", "targets"):
        if not panel.get(key):
            say(f"{where}: no {key}")
    if panel["type"] not in PANELS:
        say(f"{where}: type {panel['type']!r}")
    if panel["fieldConfig"]["defaults"].get("unit") not in UNITS:
        say(f"{where}: unit {panel['fieldConfig']['defaults'].get('unit')!r}")
    sources = [panel["datasource"]] + [target["datasource"] for target in panel["targets"]]
    if any(s != {"type": "prometheus", "uid": "${datasource}"} for s in sources):
        say(f"{where}: a data source that is not the variable")
    ids = [target["refId"] for target in panel["targets"]]
    if len(set(ids)) != len(ids):
        say(f"{where}: refId twice")
    for target in panel["targets"]:
        for name in re.findall(r"\$\{?(\w+)", target["expr"]):
            if name not in defined | BUILT_IN:
                say(f"{where}: ${name} is not a variable")


def check_grid(panels, say):
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] < 0 or place["x"] + place["w"] > 24 or place["w"] < 1 or place["h"] < 1:
            say(f"panel {panel['title']!r} lies outside the grid")
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in taken:
                    say(f"panels {panel['title']!r} and {taken[x, y]!r} overlap")
                    return
                taken[x, y] = panel["title"]


def check_dashboard(path, uids, say):
    board = json.loads(path.read_text())
    for key in ("uid", "title", "description", "schemaVersion", "tags", "time", "templating"):
        if not board.get(key):
            say(f"no {key}")
    if board["uid"] in uids or len(board["uid"]) > 40 or not re.fullmatch(r"[\w-]+", board["uid"]):
        say(f"uid {board['uid']!r}")
    uids.add(board["uid"])
    variables = board["templating"]["list"]
    defined = {each["name"] for each in variables}
    if len(defined) != len(variables) or not {"datasource", "job", "run"} <= defined:
        say(f"variables {sorted(defined)}")
    for each in variables:
        if each["type"] == "query" and each["datasource"]["uid"] != "${datasource}":
            say(f"variable {each['name']}: a data source that is not the variable")
    ids = [panel["id"] for panel in board["panels"]]
    if len(set(ids)) != len(ids):
        say("panel ids twice")
    titles = [panel["title"] for panel in board["panels"] if panel["type"] != "stat"]
    if len(set(titles)) != len(titles):
        say("panel titles twice")
    for panel in board["panels"]:
        check_panel(panel, defined, say)
    check_grid(board["panels"], say)


def main():
    folder = pathlib.Path(sys.argv[1])
    problems = []
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([sys.executable, folder / "generate.py", scratch], check=True)
        made = {p.name: p.read_text() for p in pathlib.Path(scratch).glob("*.json")}
    kept = {p.name: p.read_text() for p in (folder / "dashboards").glob("*.json")}
    if made != kept:
        problems.append("dashboards/ is not what generate.py writes: run it")
    uids = set()
    for path in sorted((folder / "dashboards").glob("*.json")):
        check_dashboard(path, uids, lambda what, p=path: problems.append(f"{p.name}: {what}"))
    if len(uids) != 6:
        problems.append(f"{len(uids)} dashboards, expected 6")
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()

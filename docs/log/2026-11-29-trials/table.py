"""The scores of trials, against one: python docs/log/2026-11-29-trials/table.py runs/recipe preset > scores.md"""

import json
import sys
from pathlib import Path
from statistics import mean

found = {}
for path in Path(sys.argv[1]).glob("*/scores.json"):
    rows = [row for row in json.loads(path.read_text()) if row["model"] == "best"]
    found[path.parent.name] = [row["psnr"] for row in sorted(rows, key=lambda row: row["scale"])]
base = mean(found[sys.argv[2]])
lines = [f"| trial | x2 | x3 | x4 | against {sys.argv[2]} |", "| --- | ---: | ---: | ---: | ---: |"]
for name, scores in sorted(found.items(), key=lambda item: -mean(item[1])):
    lines.append(f"| {name} | {' | '.join(f'{psnr:.2f}' for psnr in scores)} | {mean(scores) - base:+.3f} |")
sys.stdout.write("\n".join([*lines, ""]))

"""Runs the processes that the rows need: those of one group by turns, round after round, each fresh and alone."""

import json
import subprocess
import sys
import time

from report import best_of, candidates

HOPELESS = 0.5  # of the best of its side after the first round: measured no further


def documents(text):
    """The JSON documents that stand one after the other in a text."""
    decoder, found, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:].lstrip()
    return found


def last_line(text):
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no word on stderr")


def run_once(command):
    """The record of one process: {documents} or {error}."""
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, text=True, errors="replace", check=False)
    except OSError as error:
        return {"error": str(error)}
    if done.returncode != 0:
        return {"error": f"status {done.returncode}: {last_line(done.stderr)}"}
    try:
        found = documents(done.stdout)
    except json.JSONDecodeError as error:
        return {"error": f"it printed something other than JSON: {error}"}
    return {"documents": found} if found else {"error": "it printed no figure"}


def contenders(rows, records):
    """The runs that go on: those of figures that are not far behind the best of their side of a row."""
    going = set()
    for row in rows:
        for side in (row.ours, row.peers):
            measured = candidates(side, records)
            best = best_of(row, measured)
            for candidate in measured:
                if candidate.values and advantage(row, candidate.median, best.median) >= HOPELESS:
                    going.update(candidate.figure.runs)
    return going


def advantage(row, a, b):
    over, under = (a, b) if row.better == "higher" else (b, a)
    return over / under if under else 1  # a wait of nothing


def groups_of(names):
    """{group: its runs}, in the order of the names."""
    groups = {}
    for name in names:
        groups.setdefault(name.split("/")[0], []).append(name)
    return groups


def measure_round(names, commands, records, what):
    for name in names:
        start = time.monotonic()
        record = run_once(commands[name])
        records.setdefault(name, []).append(record)
        say(f"{what}: {name}: {record.get('error') or f'{time.monotonic() - start:.0f} s'}")


def measure(commands, rows, rounds, records, keep):
    """Fills records ({run: [record of each round]}); keep() is called after every round."""
    needed = {run for row in rows for figure in (*row.ours, *row.peers) for run in figure.runs}
    for names in groups_of(name for name in commands if name in needed).values():
        for number in range(1, rounds + 1):
            measure_round(names, commands, records, f"round {number} of {rounds}")
            keep()
            if number == 1:
                going = contenders(rows, records)
                names = [name for name in names if name in going]


def say(text):
    print(text, file=sys.stderr, flush=True)

"""Rows and records become figures: medians, ratios, whether a goal is met; as text, as Markdown, as JSON.

It measures nothing and needs nothing but Python, so that the tables can be made again from a file of records."""

import statistics
from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True)
class Candidate:
    """One figure with its value of every round; without values the error says why."""

    figure: object
    values: list
    error: str | None

    @property
    def median(self):
        return statistics.median(self.values)


def candidates(side, records):
    return [candidate(figure, records) for figure in side]


def candidate(figure, records):
    runs = [records.get(run, []) for run in figure.runs]
    errors = [record["error"] for run in runs for record in run if "error" in record]
    rounds = [r for r in zip(*runs) if not any("error" in record for record in r)]
    values = [figure.value(*r) for r in rounds]
    return Candidate(figure, values, None if values else (errors or ["not measured"])[0])


def best_of(row, measured):
    able = [c for c in measured if c.values]
    if not able:
        return None
    return (max if row.better == "higher" else min)(able, key=lambda c: c.median)


def meets(goal, value):
    if goal is None or value is None:
        return None
    return value >= goal[1] if goal[0] == ">=" else value <= goal[1]


def ceiling_share(candidate, records):
    """Of the GEMM rate that the same process measured, where the figure has one."""
    if candidate is None or candidate.figure.share is None:
        return None
    return statistics.median(candidate.figure.share(r) for r in records[candidate.figure.runs[0]] if "error" not in r)


def side_of(measured, best):
    """The JSON of one side: what stands in the table, and every candidate."""
    return {
        "label": best.figure.label if best else None,
        "value": best.median if best else None,
        "candidates": [{"label": c.figure.label, "values": c.values, "error": c.error} for c in measured],
    }


def evaluate(row, records):
    """The result of one row, as it stands in the JSON file."""
    ours, peers = candidates(row.ours, records), candidates(row.peers, records)
    our_best, peer_best = best_of(row, ours), best_of(row, peers)
    ratio = our_best.median / peer_best.median if our_best and peer_best else None
    judged = ratio if row.judged == "ratio" else our_best.median if our_best else None
    share = ceiling_share(our_best, records)
    return {
        "row": row.name, "title": row.title, "unit": row.unit, "peer_name": row.peer if row.peers else None,
        "retort": side_of(ours, our_best), "peer": side_of(peers, peer_best), "ratio": ratio,
        "goal": f"{row.judged} {row.goal[0]} {row.goal[1]:g}" if row.goal else None, "met": meets(row.goal, judged),
        "share": share, "share_goal": f">= {row.share_goal:g}" if row.share_goal else None,
        "share_met": meets((">=", row.share_goal) if row.share_goal else None, share),
    }


# Words and tables.


UNITS = {"rate": " tokens/s", "bytes": " GiB", "share": " %", "quotient": ""}


def number(unit, value):
    if unit == "bytes":
        return f"{value / GIB:.2f}"
    if unit == "share":
        return f"{100 * value:.1f}"
    if unit == "quotient":
        return f"{value:.3f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def amount(unit, value):
    return number(unit, value) + UNITS[unit]


def shown(unit, side):
    if side["value"] is not None:
        return f"{amount(unit, side['value'])} ({side['label']})"
    return f"missing: {side['candidates'][0]['error']}" if side["candidates"] else "-"


def verdict(goal, met):
    return "-" if goal is None else f"{goal}: {'not measured' if met is None else 'met' if met else 'missed'}"


COLUMNS = ("row", "retort", "peer", "ratio", "goal", "share of ceiling")


def cells(result):
    peer = shown(result["unit"], result["peer"])
    return (
        result["row"],
        shown(result["unit"], result["retort"]),
        f"{result['peer_name']}: {peer}" if result["peer_name"] else peer,
        "-" if result["ratio"] is None else f"{result['ratio']:.2f}",
        verdict(result["goal"], result["met"]),
        share_cell(result),
    )


def share_cell(result):
    if result["share"] is None and result["share_goal"] is None:
        return "-"
    value = "not measured" if result["share"] is None else f"{result['share']:.2f}"
    return value if result["share_goal"] is None else f"{value}; {verdict(result['share_goal'], result['share_met'])}"


def text_table(results):
    lines = [COLUMNS, *map(cells, results)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def markdown_row(line):
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"


def markdown_table(columns, lines):
    return "\n".join([markdown_row(columns), markdown_row(["---"] * len(columns)), *map(markdown_row, lines)])


def spread(unit, candidate):
    """Median and range of one candidate's rounds."""
    values = candidate["values"]
    if not values:
        return f"missing: {candidate['error']}"
    rounds = f"{len(values)} round{'s' * (len(values) > 1)}"
    return f"{amount(unit, statistics.median(values))} ({number(unit, min(values))} to {number(unit, max(values))}, {rounds})"


def detail_lines(results):
    for result in results:
        for who, side in (("retort", result["retort"]), (result["peer_name"], result["peer"])):
            for candidate in side["candidates"]:
                yield result["row"], who, candidate["label"], spread(result["unit"], candidate)


def command_lines(results, rows, commands):
    """The processes of every row, each shown once."""
    seen = set()
    for result, row in zip(results, rows):
        runs = [run for figure in (*row.ours, *row.peers) for run in figure.runs if run not in seen]
        seen.update(runs)
        yield f"# {result['row']}: {result['title']}: tools/compare/run --only {result['row']}"
        for run in dict.fromkeys(runs):
            yield " ".join(commands[run])


def markdown(results, rows, commands, store):
    machine = store["machine"]
    return "\n\n".join([
        "# Benchmarks",
        "Made by `tools/compare/run --markdown FILE`: every row by `tools/compare/run --only ROW`. Medians of "
        f"{store['rounds']} round{'s' * (store['rounds'] != 1)}; in a round every process of a row starts afresh, warms up and "
        f"measures, one after the other on the same {store['context']['threads']} cores. In brackets the variant: retort runs in "
        "the fastest precision of this CPU, the peer in its best; training only in those that this CPU multiplies, as an emulated "
        "one takes minutes a step. What is less than half as good as the best of its side in the first round is measured once.",
        markdown_table(("machine", ""), [(key, str(value)) for key, value in machine.items()]),
        "## Goals",
        markdown_table(COLUMNS, map(cells, results)),
        "What the rows are:",
        "\n".join(f"- `{result['row']}`: {result['title']}" for result in results),
        "## Every variant",
        markdown_table(("row", "who", "variant", "median (range)"), detail_lines(results)),
        "## Commands",
        "Run from the root of the checkout, after one call of `tools/compare/run` that has made `build/compare`.",
        "```\n" + "\n".join(command_lines(results, rows, commands)) + "\n```",
    ]) + "\n"

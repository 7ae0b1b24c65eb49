"""A distillation by `retort run`, timed: the steady steps of its metrics.jsonl.

usage: retort_distil.py JOB.yaml [--warm-up STEPS] -- [mpirun ...] retort

Prints one JSON line {what, job, steps, tokens, seconds, tokens_per_second, label_wait_share, teacher_wait_share}; the first steps,
in which memory is touched for the first time and the stream fills, are left out."""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("job", type=Path)
    p.add_argument("--warm-up", type=int, default=2)
    p.add_argument("command", nargs="+")
    return p.parse_args()


def output_of(job):
    return Path(re.search(r"^output: (.*)$", job.read_text(encoding="utf-8"), re.MULTILINE).group(1))


def steady_steps(metrics, warm_up):
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["step"] > warm_up and "validation" not in line]


def main():
    a = arguments()
    run = subprocess.run([*a.command, "run", str(a.job), "--fresh"], stdout=subprocess.DEVNULL, check=False)
    if run.returncode != 0:
        sys.exit(run.returncode)
    steps = steady_steps(output_of(a.job) / "metrics.jsonl", a.warm_up)

    def total(key):
        return sum(step[key] for step in steps)

    seconds = total("seconds")
    print(json.dumps({"what": "distil", "job": a.job.name, "steps": len(steps), "tokens": total("tokens"), "seconds": seconds,
                      "tokens_per_second": total("tokens") / seconds, "label_wait_share": total("label_wait_seconds") / seconds,
                      "teacher_wait_share": total("teacher_wait_seconds") / seconds}))


if __name__ == "__main__":
    main()

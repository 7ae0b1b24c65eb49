"""Measures the rows of the comparison and prints their table; tools/compare/run prepares what it needs.

usage: compare.py --python PATH --retort PATH --model FILE --out DIR [options]"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import report
import rows
import runner

PEERS = ("torch", "transformers", "peft", "llama-cpp-python", "gguf", "numpy")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--python", help="the interpreter that has the peers")
    p.add_argument("--retort", help="the program")
    p.add_argument("--model", help="the GGUF file of SmolLM2-135M-Instruct")
    p.add_argument("--out", help="the folder that prepare.py has filled")
    p.add_argument("--threads", type=int)
    p.add_argument("--layers", help="of the model, those that a student starts as")
    p.add_argument("--precisions", type=lambda text: text.split(","), help="of retort, the fastest first")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--only", action="append", default=[], help="a row, or how the names of several begin")
    p.add_argument("--json", type=Path, help="where records and results go")
    p.add_argument("--markdown", type=Path, help="where the tables go as Markdown")
    p.add_argument("--from", dest="source", type=Path, help="a file that --json made: its tables again, nothing is measured")
    return p.parse_args()


def cpu_info():
    fields = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def version_of(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def onednn_version():
    macros = output_of("sh", "-c", "echo '#include <dnnl_version.h>' | ${CC:-cc} -E -dM -x c -")
    numbers = dict(re.findall(r"#define DNNL_VERSION_(\w+) (\d+)", macros))
    return ".".join(numbers.get(part, "?") for part in ("MAJOR", "MINOR", "PATCH"))


def machine(threads, retort):
    cpu = cpu_info()
    flags = cpu.get("flags", "").split()
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "CPU": cpu.get("model name", platform.machine()),
        "flags": " ".join(flag for flag in FLAGS if flag in flags) or "none of " + " ".join(FLAGS),
        "cores": f"{threads} of {os.cpu_count()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / report.GIB:.0f} GiB",
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "retort": f"{output_of(retort, '--version')}, commit {output_of('git', 'describe', '--always', '--dirty')}",
        "Open MPI": output_of("mpirun", "--version").splitlines()[0].rpartition(" ")[2],
        "OpenBLAS": output_of("pkg-config", "--modversion", "openblas"),
        "oneDNN": onednn_version(),
        "Python": platform.python_version(),
        **{name: version_of(name) for name in PEERS},
    }


def new_store(a):
    configs = {"8b": "shapes/8b.json", "1b": "shapes/1b.json", "smollm2": "teacher/config.json"}
    shapes = {name: json.loads(Path(a.out, path).read_text(encoding="utf-8")) for name, path in configs.items()}
    context = {"python": a.python, "retort": a.retort, "model": a.model, "out": a.out, "threads": a.threads,
               "precisions": a.precisions, "layers": a.layers, "shapes": shapes}
    return {"machine": machine(a.threads, a.retort), "rounds": a.rounds, "context": context, "records": {}}


def refuse(text):
    print(f"compare: {text}", file=sys.stderr)
    sys.exit(2)


def selected(all_rows, wanted):
    unknown = [w for w in wanted if not any(row.name.startswith(w) for row in all_rows)]
    if unknown:
        refuse(f"no row {unknown[0]}; there are {', '.join(row.name for row in all_rows)}")
    return [row for row in all_rows if not wanted or row.name.startswith(tuple(wanted))]


def one_set_of_cores(threads):
    """This process and all that it starts stay on the first cores that it has."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < threads:
        refuse(f"{threads} threads on {len(cores)} cores; --threads takes at most {len(cores)}")
    os.sched_setaffinity(0, cores[:threads])


def main():
    a = arguments()
    store = json.loads(a.source.read_text(encoding="utf-8")) if a.source else new_store(a)
    commands, all_rows = rows.tables(store["context"])
    chosen = selected(all_rows, a.only)

    def keep():
        store["rows"] = [report.evaluate(row, store["records"]) for row in chosen]
        if a.json:
            a.json.write_text(json.dumps(store, indent=1) + "\n", encoding="utf-8")

    if not a.source:
        one_set_of_cores(a.threads)
        runner.measure(commands, chosen, a.rounds, store["records"], keep)
    keep()
    print(report.text_table(store["rows"]))
    if a.markdown:
        a.markdown.write_text(report.markdown(store["rows"], chosen, commands, store), encoding="utf-8")


if __name__ == "__main__":
    main()

#!/bin/bash
# The lint checks can fail: each rule is broken once in a small tree of its own, and must be found there and only there.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

write() { # FILE TEXT
    mkdir -p "$tree/$(dirname "$1")"
    printf '%s\n' "$2" >"$tree/$1"
}

clean_tree() {
    rm -rf "${tree:?}/src" "$tree/tests"
    mkdir -p "$tree/tests"
    cp "$here/../../.clang-format" "$tree"
    write src/CMakeLists.txt $'retort_room(base LIBRARIES dep_x)\nretort_room(par ARROWS base LIBRARIES dep_mpi)
retort_room(data ARROWS base)\nretort_room(cli ARROWS data par base)'
    write src/base/err.h '#include <stdio.h>'
    write src/par/comm.c $'#include <mpi.h>\n#include "base/err.h"\nMPI_Comm all = MPI_COMM_WORLD;'
    write src/data/read.c $'#include "base/err.h"\n#include "data/read.h"\n/* not like MPI_COMM_WORLD\n * or exit(1) */ // printf("x")\nint n = snprintf(s, 4, "x");'
    write src/cli/main.c $'#include "data/read.h"\nint n = printf("x");'
}

# finds CHECK FILE TEXT EXPECTED: the file with this text added to the clean tree is the only finding
finds() {
    clean_tree
    local before
    before=$(bash "$here/$1.sh" "$tree") || { printf '%s: the clean tree is red: %s\n' "$1" "$before" && exit 1; }
    write "$2" "$3"
    local found
    if found=$(bash "$here/$1.sh" "$tree" 2>&1); then
        printf '%s: stays green with %s: %s\n' "$1" "$2" "$3"
        exit 1
    fi
    [[ $found == *"$4"* ]] || { printf '%s: says "%s", expected "%s"\n' "$1" "$found" "$4" && exit 1; }
}

finds arrows src/base/up.c '#include "data/read.h"' 'src/base/up.c:1: base includes "data/read.h", and has no arrow to data'
finds arrows src/data/side.c '#  include  "par/comm.h"' 'src/data/side.c:1: data includes "par/comm.h", and has no arrow to par'
finds arrows src/data/near.c '#include "read.h"' 'src/data/near.c:1: "read.h" is not written from src'
finds arrows src/data/mpi.c '#include <mpi.h>' 'src/data/mpi.c:1: includes mpi.h outside par'
finds arrows src/par/world.c 'MPI_Barrier(MPI_COMM_WORLD);' 'src/par/world.c:1: names MPI_COMM_WORLD outside par/comm.c'
finds arrows src/data/talk.c 'printf("x");' 'src/data/talk.c:1: prints or exits outside cli'
finds arrows src/data/talk.c 'fprintf(stderr, "x");' 'src/data/talk.c:1: prints outside cli'
finds arrows src/par/leave.c '    exit(1);' 'src/par/leave.c:1: prints or exits outside cli'
finds arrows src/CMakeLists.txt $'retort_room(base ARROWS par)\nretort_room(par)\nretort_room(data ARROWS base)
retort_room(cli ARROWS data)' 'src/CMakeLists.txt: base has an arrow to par, which is not declared above it'
finds words src/data/path.c "open(\"/wor""k/x\");" 'src/data/path.c:1: names a path of one machine'
finds words tools/get "wget pyp""i.org" 'tools/get:1: names the host of a package registry'
rm -rf "$tree/tools"
finds words src/data/later.c "// TOD""O" 'src/data/later.c:1: was left unfinished'
if [ "$(clang-format --version | sed -E 's/.*version ([0-9]+).*/\1/')" = 14 ]; then
    finds format src/data/wide.c 'int   x;' 'wide.c'
fi
echo "every rule can be broken"

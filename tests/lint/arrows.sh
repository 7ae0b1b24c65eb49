#!/bin/bash
# The house stands as it was drawn: rooms include only what src/CMakeLists.txt lets them, MPI stays in par, talk and exit in cli.
#
#   arrows.sh ROOT        status 1 and one line for each breach
set -euo pipefail
cd "$1/src"
code=$(mktemp)
breaches=$(mktemp)
trap 'rm -f "$code" "$breaches"' EXIT

# "room below below ...", in the order of the file
rooms() {
    sed -n 's/^retort_room(\([a-z]*\)\(.*\))$/\1 \2/p' CMakeLists.txt | sed 's/ARROWS//; s/LIBRARIES.*//'
}

# An arrow points to a room that is declared further up, so there is no circle.
check_order() {
    awk '{
        for (i = 2; i <= NF; i++)
            if (!($i in above))
                print "src/CMakeLists.txt: " $1 " has an arrow to " $i ", which is not declared above it"
        above[$1] = 1
    }' <(rooms)
}

# "FILE:LINE:CODE" of every source line, without its comments
code() {
    find . -name '*.[ch]' | sed 's|^\./||' | sort | xargs awk '
        FNR == 1 { inside = 0 }
        {
            line = $0
            while (1) {
                if (inside) {
                    if (!(n = index(line, "*/")))
                        next
                    line = substr(line, n + 2)
                    inside = 0
                }
                if (!match(line, /\/[*\/]/))
                    break
                rest = substr(line, RSTART + 2)
                if (substr(line, RSTART + 1, 1) == "*" && (n = index(rest, "*/")))
                    line = substr(line, 1, RSTART - 1) " " substr(rest, n + 2)
                else {
                    inside = substr(line, RSTART + 1, 1) == "*"
                    line = substr(line, 1, RSTART - 1)
                    break
                }
            }
            if (line ~ /[^ ]/)
                print FILENAME ":" FNR ":" line
        }'
}

# "FILE:LINE:HEADER" of every quoted include
includes() {
    sed -nE 's/^([^:]*:[0-9]*):[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"]*)".*/\1:\2/p' "$code"
}

check_includes() {
    awk -F: '
        NR == FNR {
            n = split($0, words, " ")
            for (i = 1; i <= n; i++)
                allowed[words[1], words[i]] = 1
            next
        }
        {
            from = $1
            to = $3
            sub(/\/.*/, "", from)
            if (!sub(/\/.*/, "", to))
                print "src/" $1 ":" $2 ": \"" $3 "\" is not written from src (\"room/file.h\")"
            else if (!((from, to) in allowed))
                print "src/" $1 ":" $2 ": " from " includes \"" $3 "\", and has no arrow to " to
        }' <(rooms) <(includes)
}

# only WHERE PATTERN WHAT: code with the pattern stands in no other file than those that match WHERE
only() {
    { grep -E "^[^:]*:[0-9]*:$2" "$code" || true; } | { grep -vE "^($1)" || true; } |
        sed -E "s|^([^:]*:[0-9]*):.*|src/\1: $3|"
}

code >"$code"
{
    check_order
    check_includes
    only 'par/|dist/' '[[:space:]]*#[[:space:]]*include[[:space:]]*<mpi' 'includes mpi.h outside par'
    only 'par/comm\.c' '.*\<MPI_COMM_WORLD\>' 'names MPI_COMM_WORLD outside par/comm.c'
    # base ends the program where nothing can be handed up (a broken promise, no memory), par where MPI itself fails
    only 'cli/|base/assert\.c|base/mem\.c|par/comm\.c' '(.*[^_[:alnum:]])?(printf|vprintf|puts|putchar|perror|exit|_exit|quick_exit) ?\(' \
        'prints or exits outside cli'
    only 'cli/|base/assert\.c|base/mem\.c' '.*\<(fprintf|fputs|fputc|vfprintf|fwrite) ?\(.*\<std(out|err)\>' 'prints outside cli'
} >"$breaches"
cat "$breaches"
[ ! -s "$breaches" ]

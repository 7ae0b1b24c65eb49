#!/bin/sh
# test_failure.sh raise|kill PROGRAM MPIRUN...: in every wait of par/, what becomes of the others when one rank raises a
# failure or is killed. The job must end by itself, soon, with the status of the error (3) or of the signal (137).
how=$1 program=$2
shift 2
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# check WAIT HOW STATUS [TEXT...]: each TEXT must stand in the output
check() {
    wait=$1 act=$2 status=$3
    shift 3
    timeout -k 1 15 $mpirun -n 3 "$program" "$wait" "$act" >"$out" 2>&1
    got=$?
    if [ $got -ne "$status" ]; then
        echo "$wait, $act: exit status $got, expected $status"
        cat "$out"
        exit 1
    fi
    for text; do
        if ! grep -q "$text" "$out"; then
            echo "$wait, $act: the output does not say \"$text\""
            cat "$out"
            exit 1
        fi
    done
}

mpirun=$*
for wait in sum long_sum message_sum agree split broadcast gather buckets started_sum mailbox; do
    case $how in
    raise) check $wait raise 3 '^rank 2: weights.bin: cut' 'rank 0 leaves: rank 2: weights.bin' 'rank 1 leaves' ;;
    kill) check $wait kill 137 ;;
    esac
done
if [ "$how" = raise ]; then
    check outside raise 3 'not all ranks have answered'
    check sum all 3
    check wrong_use none 4 '^MPI failed: MPI_ERR_RANK'
fi

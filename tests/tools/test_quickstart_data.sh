#!/bin/bash
# tools/quickstart-data on a small WordNet of our own: what becomes a pair, how JSON is escaped, that no word is in both files.
#
#   test_quickstart_data.sh SOURCE_DIR
set -euo pipefail
tool=$1/tools/quickstart-data
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/wordnet"
cd "$work"

same() { # WHAT GOT WANTED
    [ "$2" = "$3" ] || { printf '%s: got\n%s\nexpected\n%s\n' "$1" "$2" "$3" && exit 1; }
}

# lines of the licence, a sense of an adjective in its place, two words in one synset, a name, a gloss too short, a second sense
cat >wordnet/data.noun <<'DATA'
  1 This is a line of the licence | it is no gloss at all
00000001 03 n 02 sea_wall 0 bulwark 0 001 @ 00000002 n 0000 | a protective structure of stone or concrete; "it holds"  
00000002 03 n 01 Baltic 0 000 | a sea in northern Europe, and a name  
00000003 03 n 01 odd 0 000 | too short  
00000004 03 n 01 slash 0 000 | the character \ and the character / in "code"  
DATA
cat >wordnet/data.verb <<'DATA'
00000001 30 v 01 slash 0 000 00 | a second sense, which is left out  
DATA
cat >wordnet/data.adj <<'DATA'
00000001 00 a 01 asleep(p) 0 000 | in a state of sleep; `tis so  
DATA
: >wordnet/data.adv

"$tool" out wordnet 2 1
wanted='{"prompt": "Define asleep.\n", "completion": "in a state of sleep; `tis so"}
{"prompt": "Define sea wall.\n", "completion": "a protective structure of stone or concrete; \"it holds\""}
{"prompt": "Define slash.\n", "completion": "the character \\ and the character / in \"code\""}'
same "pairs" "$(cat out/train.jsonl out/valid.jsonl | LC_ALL=C sort)" "$wanted"
same "held out" "$(wc -l <out/valid.jsonl)" 1
same "left behind" "$(ls -A out | tr '\n' ' ')" "train.jsonl valid.jsonl "

"$tool" again wordnet 2 1
same "the same every time" "$(cat again/valid.jsonl again/train.jsonl)" "$(cat out/valid.jsonl out/train.jsonl)"

status=0
text=$("$tool" few wordnet 3 1 2>&1) || status=$?
same "too few words" "$status $text" "3 quickstart-data: wordnet: 3 words, expected at least 4; ask for fewer pairs"
status=0
text=$("$tool" none nowhere 2>&1) || status=$?
same "no WordNet" "$status ${text%%;*}" "3 quickstart-data: nowhere/data.noun: no such file"

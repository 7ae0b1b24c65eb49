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

# lines of the licence; a sense of 17 words, of which the first is in no tagged text, the second means something else more often
# and only the last is taken; a name, which the index has in small letters; a gloss too short, one too long, one that begins with
# a remark; a second sense; a word of no tagged text
cat >wordnet/data.noun <<'DATA'
  1 This is a line of the licence | it is no gloss at all
00000001 03 n 11 sea_wall 0 bulwark 0 a 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 k 0 l 0 m 0 n 0 groyne 0 001 @ 00000002 n 0000 | a protective structure of stone or concrete; "it holds"; "a wall"  
00000002 03 n 02 Baltic 0 baltic_sea 1 000 | a sea in northern Europe; not a word here  
00000003 03 n 01 odd 0 000 | too short  
00000004 03 n 01 slash 0 000 | a punctuation mark used to separate things  
00000005 03 n 02 slash 1 backslash 0 000 | the character \ and not the character / in "code"; a mark  
00000006 03 n 01 trousers 0 000 | (usually plural) a garment for the legs  
00000007 03 n 01 essay 0 000 | a short piece of writing that goes on and on in spite of that, until it is longer than what a first lesson in definitions may be  
00000008 03 n 01 ulexite 0 000 | a white mineral of deserts, in no text  
DATA
cat >wordnet/index.noun <<'DATA'
  1 This is a line of the licence
backslash n 1 0 1 1 00000005  
baltic n 1 1 @i 1 1 00000002  
bulwark n 2 2 @ ~ 2 1 00000009 00000001  
essay n 1 1 @ 1 1 00000007  
groyne n 1 0 1 1 00000001  
odd n 1 1 @ 1 1 00000003  
sea_wall n 1 3 @ ~ + 1 0 00000001  
slash n 2 3 @ ~ + 2 2 00000004 00000005  
trousers n 1 1 @ 1 1 00000006  
ulexite n 1 1 @ 1 0 00000008  
DATA

"$tool" out wordnet 2 1
wanted='{"prompt": "The definition of backslash is", "completion": " the character \\ and not the character / in \"code\"; a mark."}
{"prompt": "The definition of groyne is", "completion": " a protective structure of stone or concrete."}
{"prompt": "The definition of slash is", "completion": " a punctuation mark used to separate things."}'
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
same "no WordNet" "$status ${text%%;*}" "3 quickstart-data: nowhere/index.noun: no such file"

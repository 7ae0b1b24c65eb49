# The tokenizer: its tests, its fuzzer, and the program that tools/reference/tokenizer_compare.py runs.
retort_program(tokenizer_cat fmt tokenizer_cat.c)

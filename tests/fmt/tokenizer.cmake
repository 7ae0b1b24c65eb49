# The tokenizer. tests/fmt/tokenizers is made by tools/reference/tokenizer_golden.py, tokenizer_parts_golden.py and
# tokenizer_seeds.py with the `tokenizers` and gguf libraries.
set(tokenizers ${CMAKE_CURRENT_SOURCE_DIR}/tokenizers)
foreach(test test_tokenizer test_tokenizer_golden test_tokenizer_gguf test_tokenizer_parts)
  retort_test(${test} ROOM fmt)
  target_compile_definitions(${test} PRIVATE TEST_TOKENIZERS="${tokenizers}")
  target_link_libraries(${test} PRIVATE Threads::Threads)
endforeach()

retort_fuzz(fuzz_tokenizer ROOM fmt SEEDS ${tokenizers}/seed_byte_level.json ${tokenizers}/seed_byte_fallback.json RUNS 2500)
retort_fuzz(fuzz_tokenizer_gguf ROOM fmt SEEDS ${tokenizers}/seed_byte_level.gguf ${tokenizers}/seed_scores.gguf RUNS 3000)
retort_fuzz(fuzz_tokenizer_pattern ROOM fmt SEEDS ${tokenizers}/seed_pattern_0.txt ${tokenizers}/seed_pattern_1.txt RUNS 6000)

# Against the real tokenizers and small ones of every setting (tools/test --interop).
retort_program(tokenizer_pipe fmt tokenizer_pipe.c)
add_test(NAME interop_tokenizer COMMAND sh -c
  "exec \"\${RETORT_PYTHON:?names a Python with tools/reference/requirements.txt}\" '${PROJECT_SOURCE_DIR}/tools/reference/tokenizer_oracle.py' '$<TARGET_FILE:tokenizer_pipe>'")
set_tests_properties(interop_tokenizer PROPERTIES LABELS interop TIMEOUT 600)

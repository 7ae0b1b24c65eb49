# The tokenizer. tests/fmt/tokenizers is made by tools/reference/tokenizer_golden.py and tokenizer_parts_golden.py with the
# `tokenizers` library.
set(tokenizers ${CMAKE_CURRENT_SOURCE_DIR}/tokenizers)
foreach(test test_tokenizer_golden test_tokenizer_parts)
  retort_test(${test} ROOM fmt)
  target_compile_definitions(${test} PRIVATE TEST_TOKENIZERS="${tokenizers}")
  target_link_libraries(${test} PRIVATE Threads::Threads)
endforeach()

# Against the real tokenizers and small ones of every setting (tools/test --interop).
retort_program(tokenizer_pipe fmt tokenizer_pipe.c)

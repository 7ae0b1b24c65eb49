# Flags that every target of ours gets. No fast-math and no contraction: numbers are defined (SEMANTICS), so a compiler may
# not fuse or reorder them where a kernel does not ask for it itself.
add_library(retort_flags INTERFACE)
target_compile_options(retort_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef
  -Wpointer-arith -Wwrite-strings
  -ffp-contract=off -fno-math-errno -fopenmp -fno-omit-frame-pointer
  $<$<BOOL:${RETORT_WERROR}>:-Werror>
  $<$<CONFIG:Debug>:-O1 -g3>)
target_compile_definitions(retort_flags INTERFACE _GNU_SOURCE RETORT_VERSION="${PROJECT_VERSION}"
  $<$<CONFIG:Debug>:RETORT_DEBUG=1>)
target_include_directories(retort_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_link_options(retort_flags INTERFACE -fopenmp)
target_link_libraries(retort_flags INTERFACE m)
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")

if(RETORT_SANITIZE STREQUAL "address")
  set(sanitize -fsanitize=address)
elseif(RETORT_SANITIZE STREQUAL "undefined")
  set(sanitize -fsanitize=undefined -fno-sanitize-recover=undefined)
elseif(RETORT_SANITIZE STREQUAL "thread")
  set(sanitize -fsanitize=thread)
elseif(NOT RETORT_SANITIZE STREQUAL "none")
  message(FATAL_ERROR "RETORT_SANITIZE is ${RETORT_SANITIZE}; it takes none, address, undefined or thread")
endif()
if(sanitize)
  # the checks that a sanitizer puts in make GCC see formats that are NULL, and texts that are cut, where there are none
  target_compile_options(retort_flags INTERFACE ${sanitize} -Wno-format-truncation)
  target_link_options(retort_flags INTERFACE ${sanitize})
endif()

# retort_test(name ROOM room [NP 1 2 3] [LABELS ...] [TIMEOUT seconds] [SOURCES ...] [ARGS ...] [ENV VAR=value ...])
#
# A cmocka program tests/<room>/<name>.c (or SOURCES) linked with its room and the rooms below. Without NP it runs alone;
# with NP it runs under mpirun once for each count, as <name>-np<count>.
find_package(PkgConfig REQUIRED)
pkg_check_modules(cmocka REQUIRED IMPORTED_TARGET cmocka)

set(RETORT_MPIRUN ${MPIEXEC_EXECUTABLE} --oversubscribe --bind-to none --quiet CACHE STRING "how tests start MPI programs")
set(retort_mpi_env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
    OMPI_MCA_btl_vader_single_copy_mechanism=none OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive)
set(retort_san_env UBSAN_OPTIONS=print_stacktrace=1
    "ASAN_OPTIONS=fast_unwind_on_malloc=0:detect_stack_use_after_return=0"
    "LSAN_OPTIONS=suppressions=${CMAKE_CURRENT_LIST_DIR}/lsan.supp:print_suppressions=0")

function(retort_test name)
  cmake_parse_arguments(T "" "ROOM;TIMEOUT" "NP;LABELS;SOURCES;ARGS;ENV" ${ARGN})
  if(NOT T_SOURCES)
    set(T_SOURCES ${name}.c)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 60)
  endif()
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  retort_program(${name} ${T_ROOM} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE PkgConfig::cmocka)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  if(NOT T_NP)
    add_test(NAME ${name} COMMAND ${name} ${T_ARGS})
    set(tests ${name})
  endif()
  foreach(np ${T_NP})
    add_test(NAME ${name}-np${np} COMMAND ${RETORT_MPIRUN} -n ${np} $<TARGET_FILE:${name}> ${T_ARGS})
    set_tests_properties(${name}-np${np} PROPERTIES PROCESSORS 2)
    list(APPEND tests ${name}-np${np})
  endforeach()
  set_tests_properties(${tests} PROPERTIES LABELS "${T_LABELS}" TIMEOUT ${T_TIMEOUT}
    ENVIRONMENT "${retort_mpi_env};${retort_san_env};${T_ENV}")
endfunction()

# retort_fuzz(name ROOM room SEEDS file... [RUNS n] [SOURCES ...] [TIMEOUT seconds])
#
# tests/<room>/<name>.c (or SOURCES) defines LLVMFuzzerTestOneInput. It runs as an ordinary test over the seeds and n
# mutations of them (tests/fuzz_main.c), label fuzz. With RETORT_FUZZ (clang) it is a libFuzzer program instead; the seeds
# are then copied into a corpus folder beside it, which libFuzzer extends.
if(RETORT_FUZZ)
  target_compile_options(retort_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

function(retort_fuzz name)
  cmake_parse_arguments(F "" "ROOM;RUNS;TIMEOUT" "SEEDS;SOURCES" ${ARGN})
  if(NOT F_SOURCES)
    set(F_SOURCES ${name}.c)
  endif()
  if(NOT F_RUNS)
    set(F_RUNS 5000)
  endif()
  if(NOT F_TIMEOUT)
    set(F_TIMEOUT 120)
  endif()
  if(RETORT_FUZZ)
    retort_program(${name} ${F_ROOM} ${F_SOURCES})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    file(COPY ${F_SEEDS} DESTINATION ${CMAKE_CURRENT_BINARY_DIR}/${name}-corpus)
    add_test(NAME ${name} COMMAND ${name} -runs=${F_RUNS} -max_total_time=60 -seed=1 ${CMAKE_CURRENT_BINARY_DIR}/${name}-corpus)
  else()
    retort_program(${name} ${F_ROOM} ${F_SOURCES} ${PROJECT_SOURCE_DIR}/tests/fuzz_main.c)
    add_test(NAME ${name} COMMAND ${name} --runs ${F_RUNS} ${F_SEEDS} WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  endif()
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT ${F_TIMEOUT} ENVIRONMENT "${retort_san_env}")
endfunction()

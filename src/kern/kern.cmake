# Kernels are compiled once per instruction set (src/kern/kernel.h): plain with the room itself, the others here. They ask
# for what the house does not give by default: -O3, and fusing a*b+c into one rounding. No floating-point flag here changes
# what an expression may return otherwise. Conversions are defined bit for bit, so convert.c fuses nothing.
file(GLOB kernels CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/kern/op_*.c ${CMAKE_CURRENT_SOURCE_DIR}/kern/panel*.c)
set(conversions ${CMAKE_CURRENT_SOURCE_DIR}/kern/convert.c)
set_source_files_properties(${kernels} PROPERTIES COMPILE_OPTIONS "-O3;-fno-trapping-math;-ffp-contract=fast")
set_source_files_properties(${conversions} PROPERTIES COMPILE_OPTIONS "-O3;-fno-trapping-math")

function(retort_kernels isa arch)
  add_library(kern_${isa} OBJECT ${kernels} ${conversions})
  target_link_libraries(kern_${isa} PUBLIC kern_headers)
  target_compile_definitions(kern_${isa} PRIVATE KERN_ISA=${isa})
  target_compile_options(kern_${isa} PRIVATE -march=${arch})
  set_property(GLOBAL APPEND PROPERTY kern_OBJECTS $<TARGET_OBJECTS:kern_${isa}>)
endfunction()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  target_compile_definitions(kern PRIVATE KERN_X86=1)
  retort_kernels(avx2 x86-64-v3)
  retort_kernels(avx512 x86-64-v4)
  # GCC keeps to 256-bit vectors at v4 unless it is told otherwise
  target_compile_options(kern_avx512 PRIVATE -mprefer-vector-width=512)
endif()

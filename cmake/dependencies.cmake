# Libraries, found through pkg-config, CMake packages or CMAKE_PREFIX_PATH; nothing is downloaded and no root is needed.
find_package(PkgConfig REQUIRED)
find_package(MPI REQUIRED COMPONENTS C)
find_package(Threads REQUIRED)

# retort_pkg(name module): imported target dep_<name> from a pkg-config module.
function(retort_pkg name module)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${module})
  add_library(dep_${name} INTERFACE)
  target_link_libraries(dep_${name} INTERFACE PkgConfig::${name})
endfunction()
retort_pkg(yaml yaml-0.1)
retort_pkg(jansson jansson)
retort_pkg(pcre2 libpcre2-8)
retort_pkg(utf8proc libutf8proc)
retort_pkg(zstd libzstd)
retort_pkg(xxhash libxxhash)
retort_pkg(openblas openblas)

find_path(DNNL_INCLUDE_DIR dnnl.h REQUIRED)
find_library(DNNL_LIBRARY NAMES dnnl mkldnn REQUIRED)
add_library(dep_dnnl INTERFACE)
target_include_directories(dep_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
target_link_libraries(dep_dnnl INTERFACE ${DNNL_LIBRARY})

add_library(dep_mpi INTERFACE)
target_link_libraries(dep_mpi INTERFACE MPI::MPI_C Threads::Threads)

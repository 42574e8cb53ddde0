set(SONDE_SANITIZERS ${SONDE_SANITIZE})
if(SONDE_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL Clang)
    message(FATAL_ERROR "SONDE_FUZZ needs Clang: -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++")
  endif()
  # Counts which code an input reaches. It is linked into every program, the harnesses' main into theirs only.
  string(JOIN "," SONDE_SANITIZERS ${SONDE_SANITIZE} fuzzer-no-link)
endif()

# sonde_module(NAME SOURCES a.cpp ... [DEPENDS libs...])
# One folder of userspace/ = one static library, sonde_NAME. The repository root is put on the include path
# with -iquote, never -I: our bpf/ folder would otherwise hide libbpf's <bpf/...>.
function(sonde_compile_options target)
  target_compile_options(${target} PRIVATE -iquote ${CMAKE_SOURCE_DIR} -Wall -Wextra -Wshadow
    $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> $<$<BOOL:${SONDE_WERROR}>:-Werror>)
  if(SONDE_SANITIZERS)
    # Without -fno-sanitize-recover, undefined behaviour would be a line on stderr of a test that passes.
    target_compile_options(${target} PRIVATE -fsanitize=${SONDE_SANITIZERS} -fno-sanitize-recover=all
      -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${SONDE_SANITIZERS})
  endif()
endfunction()

function(sonde_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(sonde_${name} STATIC ${ARG_SOURCES})
  sonde_compile_options(sonde_${name})
  target_link_libraries(sonde_${name} PUBLIC ${ARG_DEPENDS})
endfunction()

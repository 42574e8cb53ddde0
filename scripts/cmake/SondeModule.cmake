# sonde_module(NAME SOURCES a.cpp ... [DEPENDS libs...])
# One folder of userspace/ = one static library, sonde_NAME. The repository root is put on the include path
# with -iquote, never -I: our bpf/ folder would otherwise hide libbpf's <bpf/...>.
function(sonde_compile_options target)
  target_compile_options(${target} PRIVATE -iquote ${CMAKE_SOURCE_DIR} -Wall -Wextra -Wshadow
    $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> $<$<BOOL:${SONDE_WERROR}>:-Werror>)
  if(SONDE_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${SONDE_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${SONDE_SANITIZE})
  endif()
endfunction()

function(sonde_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(sonde_${name} STATIC ${ARG_SOURCES})
  sonde_compile_options(sonde_${name})
  target_link_libraries(sonde_${name} PUBLIC ${ARG_DEPENDS})
endfunction()

# sonde_bpf_object(NAME): compiles bpf/NAME.bpf.c and makes the skeleton NAME.skel.h, both in the build
# folder. Link against sonde_bpf_NAME to get the skeleton on the include path. Header dependencies are
# tracked through clang's depfile.
set(SONDE_BPF_ARCH_x86_64 x86)
set(SONDE_BPF_ARCH_aarch64 arm64)
set(SONDE_BPF_ARCH ${SONDE_BPF_ARCH_${CMAKE_SYSTEM_PROCESSOR}})
if(NOT SONDE_BPF_ARCH)
  message(FATAL_ERROR "sonde has no vmlinux.h for ${CMAKE_SYSTEM_PROCESSOR}")
endif()

function(sonde_bpf_object name)
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/${name}.bpf.c)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(skeleton ${CMAKE_CURRENT_BINARY_DIR}/${name}.skel.h)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${CLANG} -target bpf -mcpu=v3 -g -O2 -Wall -Wextra -Wno-unused-parameter $<$<BOOL:${SONDE_WERROR}>:-Werror>
      -D__TARGET_ARCH_${SONDE_BPF_ARCH} -iquote ${CMAKE_SOURCE_DIR}
      -I ${CMAKE_SOURCE_DIR}/vmlinux/${CMAKE_SYSTEM_PROCESSOR}
      -ffile-prefix-map=${CMAKE_SOURCE_DIR}/= -MD -MF ${object}.d -c ${source} -o ${object}
    COMMAND ${LLVM_STRIP} -g ${object}
    DEPENDS ${source}
    DEPFILE ${object}.d
    COMMENT "Compiling BPF object ${name}"
    VERBATIM COMMAND_EXPAND_LISTS)
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND ${BPFTOOL} gen skeleton ${object} name ${name}_bpf > ${skeleton}
    DEPENDS ${object}
    COMMENT "Generating skeleton ${name}"
    VERBATIM)
  add_custom_target(sonde_bpf_${name}_skeleton DEPENDS ${skeleton})
  add_library(sonde_bpf_${name} INTERFACE)
  add_dependencies(sonde_bpf_${name} sonde_bpf_${name}_skeleton)
  target_include_directories(sonde_bpf_${name} SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR})
endfunction()

# No sanitizer, for valgrind.
include(${CMAKE_CURRENT_LIST_DIR}/clang.cmake)

# ThreadSanitizer.
include(${CMAKE_CURRENT_LIST_DIR}/clang.cmake)
set(SONDE_SANITIZE thread CACHE STRING "" FORCE)

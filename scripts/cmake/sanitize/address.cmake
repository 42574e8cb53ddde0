# AddressSanitizer and UndefinedBehaviorSanitizer; with the fuzzing harnesses.
include(${CMAKE_CURRENT_LIST_DIR}/clang.cmake)
set(SONDE_SANITIZE address,undefined CACHE STRING "" FORCE)
set(SONDE_FUZZ ON CACHE BOOL "" FORCE)

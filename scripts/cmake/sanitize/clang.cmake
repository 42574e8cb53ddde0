# What the builds for scripts/sanitize.sh and scripts/fuzz.sh have in common: given with cmake -C, anew each time,
# or a folder that was there before would keep what it began with; but for compilers, which may not change.
set(CMAKE_C_COMPILER clang CACHE STRING "")
set(CMAKE_CXX_COMPILER clang++ CACHE STRING "")
set(CMAKE_BUILD_TYPE None CACHE STRING "" FORCE)
# CI makes these builds from nothing: all sources of a target are compiled as one, without optimization, which takes a
# third of the time. Debian 12's valgrind does not read all of DWARF 5.
set(CMAKE_CXX_FLAGS "-O0 -g1 -gdwarf-4 -D_GLIBCXX_ASSERTIONS" CACHE STRING "" FORCE)
set(CMAKE_UNITY_BUILD ON CACHE BOOL "" FORCE)
set(CMAKE_UNITY_BUILD_BATCH_SIZE 0 CACHE STRING "" FORCE)

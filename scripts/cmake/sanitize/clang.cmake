# What the builds for scripts/sanitize.sh and scripts/fuzz.sh have in common: initial values, given with cmake -C.
set(CMAKE_C_COMPILER clang CACHE STRING "")
set(CMAKE_CXX_COMPILER clang++ CACHE STRING "")
set(CMAKE_BUILD_TYPE None CACHE STRING "")
set(CMAKE_CXX_FLAGS "-O1 -g1 -D_GLIBCXX_ASSERTIONS" CACHE STRING "")

# cmake -DOUTPUT=X.cpp -DFILES=A;B -P EmbedFiles.cmake: files as string literals, for userspace/catalog/embedded.h. A literal
# of C++ compilers may be limited to 64 kB.
set(code "// Made from userspace/catalog/clients/ by scripts/cmake/EmbedFiles.cmake.
#include <array>

#include \"userspace/catalog/embedded.h\"

namespace sonde {
namespace {

constexpr std::array kFiles{
")
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  file(READ ${file} text)
  string(APPEND code "    EmbeddedFile{\"${name}\", R\"--yaml--(${text})--yaml--\"},\n")
endforeach()
string(APPEND code "};

}  // namespace

std::span<const EmbeddedFile> embedded_clients()
{
    return kFiles;
}

}  // namespace sonde
")
file(WRITE ${OUTPUT} "${code}")

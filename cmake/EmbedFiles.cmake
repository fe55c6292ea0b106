# cmake -DOUTPUT=x.cpp -DHEADER=a.h -DNAMESPACE=n -DCONSTANTS="kA=f1,kB=f2|f3" -P EmbedFiles.cmake
# Writes a source that defines `const std::string_view kA` and so on as the files' text; files joined
# by | follow one another. A string literal must not be longer than 64 KiB: pieces are joined.
set(text "// Made by the build.\n#include \"${HEADER}\"\n\nnamespace ${NAMESPACE} {\n")
string(REPLACE "," ";" constants "${CONSTANTS}")
foreach(constant ${constants})
  string(REGEX MATCH "^([^=]+)=(.*)$" found "${constant}")
  set(name "${CMAKE_MATCH_1}")
  string(REPLACE "|" ";" files "${CMAKE_MATCH_2}")
  string(APPEND text "const std::string_view ${name} =\n")
  foreach(file ${files})
    file(READ "${file}" hex HEX)
    string(REGEX REPLACE "(..)" "\\\\x\\1" escaped "${hex}")
    # 64 bytes a line; adjacent literals are one.
    string(REGEX REPLACE "((\\\\x..)(\\\\x..)?(\\\\x..)?(\\\\x..)?(\\\\x..)?(\\\\x..)?(\\\\x..)?(\\\\x..)?)"
           "\"\\1\"\n" literal "${escaped}")
    string(APPEND text "${literal}")
  endforeach()
  string(APPEND text ";\n")
endforeach()
string(APPEND text "}  // namespace ${NAMESPACE}\n")
file(WRITE "${OUTPUT}" "${text}")

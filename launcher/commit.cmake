# Writes the commit of SOURCE_DIR into OUTPUT, touching it only when the commit changed.
execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude "*"
                WORKING_DIRECTORY "${SOURCE_DIR}" OUTPUT_VARIABLE commit
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR NOT EXISTS "${SOURCE_DIR}/.git")
  set(commit unknown)
endif()
set(text "#include \"launcher/build_info.h\"\nstd::string hecate::launcher::build_info::commit() { return \"${commit}\"; }\n")
if(EXISTS "${OUTPUT}")
  file(READ "${OUTPUT}" before)
endif()
if(NOT "${before}" STREQUAL "${text}")
  file(WRITE "${OUTPUT}" "${text}")
endif()

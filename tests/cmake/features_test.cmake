# What a configuration says of features where nothing can be found, and that nothing is compiled for
# the building machine. Variables: HECATE_SOURCE_DIR, HECATE_BINARY_DIR.
set(scratch "${HECATE_BINARY_DIR}/tests/cmake/features")
set(nothing_found -DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON -DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON)

# expect(ok|error TEXT cmake options...): the configuration ends so and says TEXT.
function(expect outcome text)
  file(REMOVE_RECURSE "${scratch}")
  execute_process(
    COMMAND "${CMAKE_COMMAND}" -S "${HECATE_SOURCE_DIR}/tests/cmake/features" -B "${scratch}"
            "-DHECATE_SOURCE_DIR=${HECATE_SOURCE_DIR}" ${nothing_found} ${ARGN}
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  string(REGEX REPLACE "[ \n]+" " " said "${output}")  # messages are wrapped
  string(FIND "${said}" "${text}" at)
  set(ended "error")
  if(status EQUAL 0)
    set(ended "ok")
  endif()
  if(at EQUAL -1 OR NOT ended STREQUAL outcome)
    message(SEND_ERROR "${ARGN}: expected ${outcome} and '${text}', got ${ended}:\n${output}")
  endif()
endfunction()

expect(ok "MPI OFF, CUDA OFF, NCCL OFF")
expect(ok "MPI OFF, CUDA OFF, NCCL OFF"
       -DHECATE_WITH_MPI=AUTO -DHECATE_WITH_CUDA=AUTO -DHECATE_WITH_NCCL=AUTO)
expect(error "HECATE_WITH_MPI=ON but no MPI was found" -DHECATE_WITH_MPI=ON)
expect(error "HECATE_WITH_CUDA=ON but no CUDA toolkit was found" -DHECATE_WITH_CUDA=ON)
expect(error "HECATE_WITH_NCCL=ON but NCCL was not found" -DHECATE_WITH_NCCL=ON)
expect(error "HECATE_WITH_MPI is 'YES': expected AUTO, ON or OFF" -DHECATE_WITH_MPI=YES)

file(READ "${HECATE_BINARY_DIR}/compile_commands.json" commands)
if(commands MATCHES "=native")
  message(SEND_ERROR "something is compiled for the building machine (-march=native)")
endif()

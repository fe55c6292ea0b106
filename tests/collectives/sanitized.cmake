# The contract suite under ASan with UBSan, and under TSan, as tests of a plain build: the first test
# of each preset builds just what the others run, in the preset's own folder (so `./do test --full`
# and the next run find it built). The rest of the tests, and the other rank counts,
# are run under the sanitizers by these presets alone.
foreach(preset asan tsan)
  set(binaries "${PROJECT_SOURCE_DIR}/build/${preset}/tests/collectives")
  add_test(NAME ${preset}/build WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}" COMMAND sh -c
    "'${CMAKE_COMMAND}' --preset ${preset} && '${CMAKE_COMMAND}' --build --preset ${preset} --target collectives_sanitized")
  set_tests_properties(${preset}/build PROPERTIES TIMEOUT 900 FIXTURES_SETUP ${preset}_build
    RESOURCE_LOCK sanitizer_build LABELS sanitized)

  foreach(program collectives_inproc_test collectives_faults_test)
    add_test(NAME ${preset}/${program} COMMAND "${binaries}/${program}" --gtest_brief=1
             --gtest_filter=-*On1Ranks:*On2Ranks:*On8Ranks)
    set_tests_properties(${preset}/${program} PROPERTIES TIMEOUT 600)
    list(APPEND sanitized_tests ${preset}/${program})
  endforeach()
  if(HECATE_HAVE_MPI)
    foreach(ranks 2 5)
      hecate_mpi_test(${preset}/mpi_contract_${ranks} "${binaries}/mpi_contract" ${ranks}
        ARGS --ranks-per-node 2 TIMEOUT 300)
      list(APPEND sanitized_tests ${preset}/mpi_contract_${ranks})
    endforeach()
  endif()
  set_tests_properties(${sanitized_tests} PROPERTIES FIXTURES_REQUIRED ${preset}_build
    LABELS sanitized)
  set(sanitized_tests)
endforeach()

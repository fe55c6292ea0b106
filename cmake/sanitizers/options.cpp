// Linked into every program of a sanitizer build: what the sanitizers' reports leave out.
#include <dlfcn.h>

// Open MPI unloads its plug-ins at the end; reports about their memory could not name them then.
extern "C" int dlclose(void*) noexcept {
  return 0;
}

// What Open MPI and the libraries below it never free (libc keeps no frame pointers, so that the
// strings that they format are known by vasprintf alone), and races inside of them: they are not
// instrumented, so ThreadSanitizer does not see how they synchronise.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:__vasprintf_internal\n"
         "leak:libopen-pal\n"
         "leak:libopen-rte\n"
         "leak:libmpi\n"
         "leak:libpmix\n"
         "leak:mca_\n"
         "leak:libevent\n"
         "leak:libhwloc\n";
}

extern "C" const char* __tsan_default_suppressions() {
  return "deadlock:mca_\n"
         "race:libopen-pal\n"
         "race:libmpi.so\n"
         "race:mca_\n"
         "race:libpmix\n"
         "mutex:libopen-pal\n";
}

extern "C" const char* __lsan_default_options() {
  return "print_suppressions=0";
}

extern "C" const char* __ubsan_default_options() {
  return "print_stacktrace=1";
}

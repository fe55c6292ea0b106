#include "tests/launcher/structure/include_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hecate::structure {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// What one source at `path` breaks when it includes `include` (with its <> or "").
std::vector<std::string> broken_by(const std::string& path, const std::string& include) {
  std::vector<SourceFile> files = {{path, "#pragma once\n#include " + include + "\n"}};
  if (include.front() == '"')
    files.push_back({include.substr(1, include.size() - 2), "#pragma once\n"});
  return violations(files);
}

TEST(IncludeRulesTest, TheTreeKeepsThem) {
  const std::vector<SourceFile> files = read_tree(HECATE_SOURCE_DIR);
  EXPECT_GT(files.size(), 100u) << "the tree was not found";
  EXPECT_THAT(violations(files), IsEmpty());
}

TEST(IncludeRulesTest, FoldersIncludeOnlyWhatLiesBelow) {
  const std::vector<std::pair<std::string, std::string>> allowed = {
      {"runtime/a.cpp", "runtime/b.h"},
      {"collectives/a.cpp", "runtime/graph/b.h"},
      {"collectives/topology.h", "runtime/base/b.h"},
      {"sharding/plan/a.cpp", "collectives/topology.h"},
      {"sharding/exec/a.cpp", "collectives/engine/b.h"},
      {"scheduler/a.cpp", "runtime/base/b.h"},
      {"models/a.cpp", "collectives/communicator.h"},
      {"models/a.cpp", "sharding/exec/b.h"},
      {"monitoring/a.cpp", "runtime/base/b.h"},
      {"launcher/a.cpp", "monitoring/b.h"},
      {"tests/models/a.cpp", "launcher/b.h"},
      {"benchmarks/a.cpp", "tests/b.h"},
  };
  for (const auto& [path, header] : allowed)
    EXPECT_THAT(broken_by(path, "\"" + header + "\""), IsEmpty()) << path;
  const std::vector<std::pair<std::string, std::string>> forbidden = {
      {"runtime/a.cpp", "collectives/b.h"},
      {"runtime/a.cpp", "tests/b.h"},
      {"collectives/a.cpp", "models/b.h"},
      {"collectives/topology.h", "runtime/device/b.h"},
      {"collectives/topology.h", "collectives/communicator.h"},
      {"sharding/plan/a.cpp", "runtime/tensor/b.h"},
      {"sharding/plan/a.cpp", "sharding/exec/b.h"},
      {"sharding/plan/a.cpp", "collectives/communicator.h"},
      {"scheduler/a.cpp", "runtime/tensor/b.h"},
      {"models/a.cpp", "collectives/engine/b.h"},
      {"models/a.cpp", "scheduler/b.h"},
      {"models/a.cpp", "monitoring/b.h"},
      {"monitoring/a.cpp", "runtime/io/b.h"},
      {"launcher/a.cpp", "tests/b.h"},
  };
  for (const auto& [path, header] : forbidden)
    EXPECT_THAT(broken_by(path, "\"" + header + "\""),
                ElementsAre(path + ":2: may not include \"" + header + "\""));
}

TEST(IncludeRulesTest, LibrariesStayInTheirFolders) {
  EXPECT_THAT(broken_by("runtime/kernels/cuda/a.cu", "<cuda_runtime.h>"), IsEmpty());
  EXPECT_THAT(broken_by("collectives/mpi/a.h", "<mpi.h>"), IsEmpty());
  EXPECT_THAT(broken_by("launcher/a.cpp", "<nlohmann/json.hpp>"), IsEmpty());
  EXPECT_THAT(broken_by("launcher/config/toml_reader.cpp", "<toml++/toml.h>"), IsEmpty());
  EXPECT_THAT(broken_by("runtime/a.h", "<sys/stat.h>"), IsEmpty());
  EXPECT_THAT(broken_by("runtime/a.h", "<vector>"), IsEmpty());
  const std::vector<std::pair<std::string, std::string>> forbidden = {
      {"runtime/device/a.cpp", "cuda_runtime.h"}, {"models/a.cpp", "mpi.h"},
      {"collectives/mpi/a.cpp", "nccl.h"},        {"launcher/a.cpp", "boost/asio.hpp"},
      {"launcher/a.cpp", "toml++/toml.h"},        {"launcher/main.cpp", "CLI/CLI.hpp"},
      {"runtime/a.cpp", "spdlog/spdlog.h"},       {"runtime/kernels/a.cpp", "dnnl.h"},
      {"models/a.cpp", "nlohmann/json.hpp"},      {"runtime/a.cpp", "gtest/gtest.h"},
  };
  for (const auto& [path, header] : forbidden)
    EXPECT_THAT(
        broken_by(path, "<" + header + ">"),
        ElementsAre(::testing::AllOf(::testing::StartsWith(path + ":2: <" + header),
                                     ::testing::EndsWith("may not be included from here"))));
}

TEST(IncludeRulesTest, LibrariesStayOutOfHeaders) {
  EXPECT_THAT(
      broken_by("launcher/a.h", "<nlohmann/json.hpp>"),
      ElementsAre("launcher/a.h:2: <nlohmann/json.hpp>: nlohmann-json belongs in .cpp files"));
}

TEST(IncludeRulesTest, UnknownLibrariesAreNamed) {
  EXPECT_THAT(broken_by("launcher/a.cpp", "<eigen3/Eigen>"),
              ElementsAre("launcher/a.cpp:2: <eigen3/Eigen> belongs to no library that the project "
                          "names"));
}

TEST(IncludeRulesTest, BackendTypesStayInTheirFolder) {
  EXPECT_THAT(violations({{"collectives/a.h", "#pragma once\nvoid f(MPI_Comm c);\n"}}),
              ElementsAre("collectives/a.h:1: names MPI_Comm: MPI stays in its folder"));
  EXPECT_THAT(violations({{"runtime/a.h", "#pragma once\nvoid f(cudaStream_t s);\n"}}),
              ElementsAre("runtime/a.h:1: names cudaStream_t: CUDA stays in its folder"));
  EXPECT_THAT(violations({{"runtime/a.h", "#pragma once\n// unlike MPI_Comm\n/* cudaFree */\n"}}),
              IsEmpty());
}

TEST(IncludeRulesTest, BackendHeadersAreNotBroughtAlong) {
  const std::vector<SourceFile> files = {
      {"collectives/mpi/inner.h", "#pragma once\n#include <mpi.h>\n"},
      {"collectives/mpi/outer.h", "#pragma once\n#include \"collectives/mpi/inner.h\"\n"},
      {"collectives/mpi/clean.h", "#pragma once\n"},
      {"collectives/a.cpp",
       "#include \"collectives/mpi/outer.h\"\n#include \"collectives/mpi/clean.h\"\n"},
  };
  EXPECT_THAT(violations(files),
              ElementsAre("collectives/a.cpp:1: \"collectives/mpi/outer.h\" brings MPI along"));
}

TEST(IncludeRulesTest, FilesAreShortGuardedAndFreeOfFeatureTests) {
  std::string text;
  for (int i = 0; i < 600; ++i) text += "//\n";
  EXPECT_THAT(violations({{"runtime/a.cpp", text}}), IsEmpty());
  EXPECT_THAT(violations({{"runtime/a.cpp", text + "//\n"}}),
              ElementsAre("runtime/a.cpp:601: has more than 600 lines"));
  EXPECT_THAT(violations({{"runtime/a.h", "int f();\n"}}),
              ElementsAre("runtime/a.h:1: has no #pragma once"));
  EXPECT_THAT(
      violations({{"runtime/a.cpp",
                   "\n#ifdef HECATE"
                   "_HAVE_CUDA\n#endif\n"}}),
      ElementsAre("runtime/a.cpp:2: tests for a feature; absent backends are chosen at link "
                  "time"));
}

TEST(IncludeRulesTest, IncludesAreWrittenFromTheRootButForTestsOwnHeaders) {
  EXPECT_THAT(
      violations({{"tests/x/a.cpp", "#include \"b.h\"\n"}, {"tests/x/b.h", "#pragma once\n"}}),
      IsEmpty());
  EXPECT_THAT(
      violations({{"runtime/a.cpp", "#include \"b.h\"\n"}, {"runtime/b.h", "#pragma once\n"}}),
      ElementsAre("runtime/a.cpp:1: \"b.h\" is no file, seen from the project's root"));
}

}  // namespace
}  // namespace hecate::structure

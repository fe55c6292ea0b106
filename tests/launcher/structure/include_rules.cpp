#include "tests/launcher/structure/include_rules.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace hecate::structure {
namespace {

constexpr int kMaxLines = 600;

const std::string kPureTopology =
    "collectives/(topology|mesh|placement|sparse_schedule|sparse_planner)\\.";

// What the files that match `includer` may include of the project; the first match counts.
struct FolderRule {
  std::regex includer, included;
};
const std::vector<FolderRule>& folder_rules() {
  static const std::vector<FolderRule> rules = [] {
    const auto rule = [](const std::string& includer, const std::string& included) {
      return FolderRule{std::regex("^(" + includer + ").*"), std::regex("^(" + included + ").*")};
    };
    const std::string product = "runtime/|collectives/|sharding/|scheduler/|models/|monitoring/";
    return std::vector<FolderRule>{
        rule("runtime/", "runtime/"),
        rule(kPureTopology, "runtime/base/|" + kPureTopology),
        rule("collectives/", "runtime/|collectives/"),
        rule("sharding/exec/", "runtime/|collectives/|sharding/"),
        rule("sharding/", "runtime/base/|sharding/(?!exec/)|" + kPureTopology),
        rule("scheduler/", "runtime/base/|scheduler/"),
        rule("models/",
             "runtime/|collectives/[^/]+$|sharding/|scheduler/(mup|hypergradient)\\.|models/"),
        rule("monitoring/", "runtime/base/|monitoring/"),
        rule("launcher/", product + "|launcher/"),
        rule("tests/|benchmarks/", product + "|launcher/|tests/|benchmarks/"),
    };
  }();
  return rules;
}

// A library, the files that may include it, and whether their headers may too. The types of a
// contained library stay in its folder: no other header may name or bring them.
struct Library {
  std::string name;
  std::regex header, includer;
  bool in_headers;
  std::regex types;
  bool contained;
};
const std::vector<Library>& libraries() {
  static const std::vector<Library> all = [] {
    const std::regex none("$^");
    const std::string tests = "tests/|benchmarks/";
    const auto backend = [](const char* name, const char* header, const std::string& folder,
                            const char* types) {
      return Library{name, std::regex(header), std::regex("^(.*/)?(" + folder + ").*"),
                     true, std::regex(types),  true};
    };
    const auto library = [&](const char* name, const char* header, const std::string& includer,
                             bool in_headers = false) {
      return Library{
          name, std::regex(header), std::regex("^(" + includer + ").*"), in_headers, none, false};
    };
    return std::vector<Library>{
        backend("CUDA", "(cuda|cublas|cudnn|cub/|thrust/|nvtx|nvml).*",
                "cuda/|collectives/nccl/|tests/runtime/cuda_emulator/",
                "\\b(cuda|cublas|cudnn)[A-Z_]\\w*|\\bCU(stream|event|context)\\b"),
        backend("MPI", "mpi\\.h", "collectives/mpi/", "\\bMPI_[A-Z]\\w*"),
        backend("NCCL", "nccl\\.h", "collectives/nccl/", "\\bnccl[A-Z]\\w*"),
        backend("Asio", "(boost/)?(asio|beast)[./].*", "scheduler/pbt/", "\\basio::|\\bbeast::"),
        library("prometheus-cpp", "prometheus/.*", "monitoring/|" + tests),
        library("nlohmann-json", "nlohmann/.*",
                "runtime/(io|data)/|scheduler/pbt/|launcher/|monitoring/|" + tests),
        library("Boost.Context", "boost/context/.*", "tests/runtime/cuda_emulator/"),
        library("Boost.Math", "boost/math/.*", "scheduler/population/"),
        library("toml++", "toml\\+\\+/.*", "launcher/config/toml_reader\\.cpp"),
        library("CLI11", "CLI/.*", "launcher/cli/command_line\\.cpp"),
        library("spdlog", "spdlog/.*", "launcher/|" + tests),
        library("SentencePiece", "sentencepiece.*", "runtime/data/sentencepiece/"),
        library("cpp-httplib", "httplib\\.h", "launcher/top/scraper\\.cpp|" + tests),
        library("zlib", "zlib\\.h", "runtime/data/|" + tests),
        library("oneDNN or BLAS", "(dnnl|oneapi/|cblas).*", "runtime/kernels/cpu/|" + tests),
        library("GoogleTest", "(gtest|gmock)/.*", "tests/", true),
        library("Google Benchmark", "benchmark/.*", tests, true),
        library("the C++ standard library", "[a-z_0-9]+", "", true),
        library("the system",
                "(sys|linux|net|netinet|arpa)/.*|[a-z]*intrin\\.h|"
                "(cpuid|dirent|dlfcn|fcntl|fnmatch|ifaddrs|netdb|poll|pthread|sched|signal|"
                "spawn|stdlib|termios|time|ucontext|unistd)\\.h",
                "", true),
    };
  }();
  return all;
}

struct Include {
  int line;
  std::string name;
  bool system;
};

bool is_header(const std::string& path) {
  return path.ends_with(".h") || path.ends_with(".cuh");
}

// The text with comments blanked, so that prose may name what code may not.
std::string without_comments(const std::string& text) {
  static const std::regex comment("//[^\n]*|/\\*[^]*?\\*/");
  return std::regex_replace(text, comment, "");
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<Include> includes_of(const SourceFile& file) {
  static const std::regex pattern("^\\s*#\\s*include\\s*([<\"])([^>\"]+)[>\"].*");
  std::vector<Include> includes;
  int number = 0;
  for (const std::string& line : lines_of(file.text)) {
    ++number;
    std::smatch match;
    if (std::regex_match(line, match, pattern))
      includes.push_back({number, match[2], match[1] == "<"});
  }
  return includes;
}

const Library* library_of(const std::string& header) {
  for (const Library& library : libraries())
    if (std::regex_match(header, library.header)) return &library;
  return nullptr;
}

class Checker {
 public:
  explicit Checker(const std::vector<SourceFile>& files) : files_(&files) {
    for (const SourceFile& file : files) includes_[file.path] = includes_of(file);
    // Tests may name a header beside them; everything else is named from the root.
    for (auto& [path, includes] : includes_) {
      if (!path.starts_with("tests/")) continue;
      const std::string folder = path.substr(0, path.rfind('/') + 1);
      for (Include& include : includes)
        if (!include.system && includes_.contains(folder + include.name))
          include.name = folder + include.name;
    }
  }

  std::vector<std::string> run() {
    for (const SourceFile& file : *files_) {
      check_text(file);
      for (const Include& include : includes_[file.path])
        include.system ? check_library(file, include) : check_folder(file, include);
    }
    for (const Library& library : libraries())
      if (library.contained) check_contained(library);
    return std::move(found_);
  }

 private:
  void report(const std::string& path, int line, const std::string& what) {
    found_.push_back(path + ":" + std::to_string(line) + ": " + what);
  }

  void check_text(const SourceFile& file) {
    const std::vector<std::string> lines = lines_of(file.text);
    if (lines.size() > static_cast<size_t>(kMaxLines))
      report(file.path, static_cast<int>(lines.size()),
             "has more than " + std::to_string(kMaxLines) + " lines");
    if (is_header(file.path) && file.text.find("#pragma once\n") == std::string::npos)
      report(file.path, 1, "has no #pragma once");
    static const std::regex feature_test("#\\s*(el)?if(def|ndef)?\\b.*HECATE_(WITH|HAVE)_");
    for (size_t i = 0; i < lines.size(); ++i)
      if (std::regex_search(lines[i], feature_test))
        report(file.path, static_cast<int>(i + 1),
               "tests for a feature; absent backends are chosen at link time");
  }

  void check_library(const SourceFile& file, const Include& include) {
    const Library* library = library_of(include.name);
    if (library == nullptr)
      return report(file.path, include.line,
                    "<" + include.name + "> belongs to no library that the project names");
    if (!std::regex_match(file.path, library->includer))
      report(file.path, include.line,
             "<" + include.name + ">: " + library->name + " may not be included from here");
    else if (is_header(file.path) && !library->in_headers)
      report(file.path, include.line,
             "<" + include.name + ">: " + library->name + " belongs in .cpp files");
  }

  void check_folder(const SourceFile& file, const Include& include) {
    // Written by CMake.
    if (include.name == "launcher/build_info.h") return;
    if (!includes_.contains(include.name))
      return report(file.path, include.line,
                    "\"" + include.name + "\" is no file, seen from the project's root");
    for (const FolderRule& rule : folder_rules()) {
      if (!std::regex_match(file.path, rule.includer)) continue;
      if (!std::regex_match(include.name, rule.included))
        report(file.path, include.line, "may not include \"" + include.name + "\"");
      return;
    }
    report(file.path, include.line, "lies in a folder that no rule knows");
  }

  // Headers outside the library's folder neither name its types nor bring its headers along.
  void check_contained(const Library& library) {
    const auto inside = [&](const std::string& path) {
      return std::regex_match(path, library.includer);
    };
    std::set<std::string> carriers;
    for (bool grown = true; grown;) {
      grown = false;
      for (const auto& [path, includes] : includes_)
        if (is_header(path) && !carriers.contains(path) &&
            std::any_of(includes.begin(), includes.end(), [&](const Include& include) {
              return include.system ? std::regex_match(include.name, library.header)
                                    : carriers.contains(include.name);
            }))
          grown = carriers.insert(path).second;
    }
    for (const SourceFile& file : *files_) {
      if (inside(file.path)) continue;
      for (const Include& include : includes_[file.path])
        if (carriers.contains(include.name) && inside(include.name))
          report(file.path, include.line,
                 "\"" + include.name + "\" brings " + library.name + " along");
      std::smatch match;
      const std::string code = is_header(file.path) ? without_comments(file.text) : "";
      if (std::regex_search(code, match, library.types))
        report(file.path, 1, "names " + match.str() + ": " + library.name + " stays in its folder");
    }
  }

  const std::vector<SourceFile>* files_;
  std::map<std::string, std::vector<Include>> includes_;
  std::vector<std::string> found_;
};

}  // namespace

std::vector<SourceFile> read_tree(const std::filesystem::path& root) {
  static const std::set<std::string> kExtensions = {".h", ".cpp", ".cu", ".cuh"};
  std::vector<SourceFile> files;
  for (const char* folder : {"runtime", "collectives", "sharding", "scheduler", "models",
                             "monitoring", "launcher", "tests", "benchmarks"}) {
    if (!std::filesystem::exists(root / folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      if (!kExtensions.contains(entry.path().extension().string())) continue;
      std::ifstream in(entry.path());
      std::stringstream text;
      text << in.rdbuf();
      files.push_back({std::filesystem::relative(entry.path(), root).generic_string(), text.str()});
    }
  }
  std::sort(files.begin(), files.end(),
            [](const SourceFile& a, const SourceFile& b) { return a.path < b.path; });
  return files;
}

std::vector<std::string> violations(const std::vector<SourceFile>& files) {
  std::vector<std::string> found = Checker(files).run();
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace hecate::structure

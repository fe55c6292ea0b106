#pragma once
#include <filesystem>
#include <string>
#include <vector>

/// The rules of docs/architecture.md about who may include whom, as a checker over source text.
namespace hecate::structure {

struct SourceFile {
  std::string path;  ///< from the project root, with '/'
  std::string text;
};

/// Every C++ and CUDA source under the project's source folders.
std::vector<SourceFile> read_tree(const std::filesystem::path& root);

/// One line per broken rule, "path:line: what", in path order.
std::vector<std::string> violations(const std::vector<SourceFile>& files);

}  // namespace hecate::structure

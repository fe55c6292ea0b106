#include "runtime/data/dataset.h"

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::data {
namespace {

constexpr int kVersion = 1;

nlohmann::ordered_json to_json(const SplitInfo& split) {
  return {{"tokens", split.tokens}, {"bytes", split.bytes}, {"documents", split.documents}};
}

SplitInfo split_from(const nlohmann::json& json) {
  return {json.at("tokens").get<uint64_t>(), json.at("bytes").get<uint64_t>(),
          json.at("documents").get<uint64_t>()};
}

}  // namespace

void write_dataset_info(const DatasetInfo& info, const std::filesystem::path& directory) {
  nlohmann::ordered_json json = {{"version", kVersion},
                                 {"tokenizer", info.tokenizer},
                                 {"tokenizer_identity", info.tokenizer_identity},
                                 {"vocabulary", info.vocabulary},
                                 {"document_end", info.document_end},
                                 {"train", to_json(info.train)},
                                 {"validation", to_json(info.validation)}};
  json["sources"] = nlohmann::ordered_json::array();
  for (const SourceInfo& source : info.sources)
    json["sources"].push_back(
        {{"name", source.name}, {"bytes", source.bytes}, {"crc32c", source.crc32c}});
  // A file name need not be UTF-8.
  using Json = nlohmann::ordered_json;
  io::write_file(directory / kDatasetFile,
                 json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

DatasetInfo read_dataset_info(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / kDatasetFile;
  const std::string content = io::read_file(path);
  try {
    const auto json = nlohmann::json::parse(content);
    const int version = json.at("version").get<int>();
    HECATE_CHECK(version == kVersion, path.string(), ": dataset version ", version,
                 ", this program reads version ", kVersion);
    DatasetInfo info;
    info.tokenizer = json.at("tokenizer").get<std::string>();
    info.tokenizer_identity = json.at("tokenizer_identity").get<std::string>();
    info.vocabulary = json.at("vocabulary").get<int64_t>();
    info.document_end = json.at("document_end").get<int64_t>();
    info.train = split_from(json.at("train"));
    info.validation = split_from(json.at("validation"));
    for (const auto& source : json.at("sources"))
      info.sources.push_back({source.at("name").get<std::string>(),
                              source.at("bytes").get<uint64_t>(),
                              source.at("crc32c").get<std::string>()});
    return info;
  } catch (const nlohmann::json::exception& error) {
    throw InvalidArgument(concat(path.string(), ": not a dataset description: ", error.what()));
  }
}

}  // namespace hecate::data

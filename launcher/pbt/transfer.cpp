#include "launcher/pbt/transfer.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "launcher/checkpoint/directory.h"
#include "launcher/pbt/member_files.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

pbt::Message asked(const Ask& ask, const LeaseOf& lease, Json json, const std::string& blob = {}) {
  json["member"] = lease.member;
  json["lease"] = lease.lease;
  pbt::Message answer = ask(json.dump(), blob);
  const Json said = Json::parse(answer.text);
  if (said.at("type") == "noted") return answer;
  throw IoError(
      concat("the controller: ", said.value("reason", said.at("type").get<std::string>())));
}

void download_file(const Ask& ask, const LeaseOf& lease, int64_t step, const Json& file,
                   const fs::path& path) {
  io::FileWriter out(path, file.at("bytes").get<uint64_t>());
  const auto bytes = file.at("bytes").get<uint64_t>();
  while (out.bytes() < bytes) {
    const pbt::Message part = asked(ask, lease,
                                    {{"type", "read"},
                                     {"step", step},
                                     {"file", file.at("name")},
                                     {"offset", out.bytes()},
                                     {"bytes", pbt::kMostBlob}});
    if (part.blob.empty()) throw IoError(concat(path.string(), ": the controller's file is short"));
    out.write(part.blob);
  }
  out.finish();
  if (out.checksum() != file.at("checksum").get<uint32_t>())
    throw IoError(concat(path.string(), ": arrived with a wrong checksum"));
}

}  // namespace

void download_checkpoint(const Ask& ask, const LeaseOf& lease, const fs::path& checkpoints) {
  const Json said = Json::parse(asked(ask, lease, {{"type", "files"}}).text);
  const Json& files = said.at("files");
  if (files.empty()) return;
  const auto step = said.at("step").get<int64_t>();
  std::error_code error;
  fs::create_directories(checkpoints, error);
  if (error) throw io::io_error(checkpoints, "create", error.value());
  const auto have = checkpoint::list_checkpoints(checkpoints);
  const bool there = std::ranges::any_of(have, [&](const checkpoint::CheckpointEntry& entry) {
    return entry.step == step && checkpoint::verify(entry.path).empty();
  });
  if (!there) {
    const fs::path aside = checkpoints / concat(".tmp-", checkpoint::step_name(step));
    checkpoint::remove_tree(aside);
    fs::create_directories(aside, error);
    if (error) throw io::io_error(aside, "create", error.value());
    for (const Json& file : files)
      download_file(ask, lease, step, file, aside / file.at("name").get<std::string>());
    const std::vector<std::string> problems = checkpoint::verify(aside);
    if (!problems.empty()) throw IoError(problems.front());
    checkpoint::publish(checkpoints, aside, step);
  }
  checkpoint::remove_after(checkpoints, step);
}

void upload_checkpoint(const Ask& ask, const LeaseOf& lease, const fs::path& checkpoints,
                       int64_t step) {
  const fs::path from = checkpoints / checkpoint::step_name(step);
  Json list = Json::array();
  for (const pbt::StoredFile& file : stored_files(from)) {
    list.push_back({{"name", file.name}, {"bytes", file.bytes}, {"checksum", file.checksum}});
    std::ifstream in(from / file.name, std::ios::binary);
    std::string part(pbt::kMostBlob, '\0');
    uint64_t offset = 0;
    do {
      in.read(part.data(), static_cast<std::streamsize>(part.size()));
      const auto count = static_cast<size_t>(in.gcount());
      asked(ask, lease,
            {{"type", "write"}, {"step", step}, {"file", file.name}, {"offset", offset}},
            part.substr(0, count));
      offset += count;
    } while (in);
    if (offset != file.bytes) throw IoError(concat((from / file.name).string(), ": changed"));
  }
  asked(ask, lease, {{"type", "publish"}, {"step", step}, {"files", list}});
}

}  // namespace hecate::launcher

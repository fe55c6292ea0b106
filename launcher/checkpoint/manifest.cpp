#include "launcher/checkpoint/manifest.h"

#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/io/checksum.h"
#include "runtime/io/safetensors.h"

namespace hecate::checkpoint {
namespace {

using nlohmann::json;

constexpr std::string_view kSeal = "\"crc32c\": \"";
constexpr size_t kDigits = 8;
constexpr std::string_view kEnd = "\"\n}\n";

std::string checksum_of(std::string_view text) {
  return io::checksum_text(io::crc32c(std::as_bytes(std::span(text))));
}

json dims_of(const Shape& shape) {
  json dims = json::array();
  for (int axis = 0; axis < shape.rank(); ++axis) dims.push_back(shape[axis]);
  return dims;
}

Shape shape_of(const json& dims) {
  return io::make_shape(dims.get<std::vector<int64_t>>());
}

json to_json(const FileRecord& file) {
  return {{"name", file.name}, {"bytes", file.bytes}, {"crc32c", io::checksum_text(file.checksum)}};
}

json to_json(const TensorRecord& tensor) {
  json slices = json::array();
  for (const SliceRecord& slice : tensor.slices)
    slices.push_back({{"offset", slice.offset},
                      {"shape", dims_of(slice.shape)},
                      {"file", slice.file},
                      {"key", slice.key}});
  return {{"name", tensor.name},
          {"kind", name_of(tensor.kind)},
          {"dtype", name_of(tensor.dtype)},
          {"shape", dims_of(tensor.shape)},
          {"slices", std::move(slices)}};
}

/// One element a line, so that people and diff can read it.
template <class Records>
std::string lines_of(const Records& records) {
  std::string text = "[";
  const char* separator = "\n  ";
  for (const auto& record : records) {
    text += separator;
    text += to_json(record).dump();
    separator = ",\n  ";
  }
  return text + "\n]";
}

FileRecord parse_file(const json& object) {
  FileRecord file{object.at("name").get<std::string>(), object.at("bytes").get<uint64_t>(), 0};
  const auto digits = object.at("crc32c").get<std::string>();
  const auto parsed =
      std::from_chars(digits.data(), digits.data() + digits.size(), file.checksum, 16);
  HECATE_CHECK(parsed.ec == std::errc{} && digits.size() == kDigits, "checksum '", digits, "'");
  HECATE_CHECK(!file.name.empty() && file.name.find('/') == std::string::npos, "file name '",
               file.name, "'");
  return file;
}

TensorRecord parse_tensor(const json& object, size_t files) {
  TensorRecord tensor;
  tensor.name = object.at("name").get<std::string>();
  const auto kind = parse_kind(object.at("kind").get<std::string>());
  const auto dtype = io::parse_dtype(object.at("dtype").get<std::string>());
  HECATE_CHECK(kind && dtype, "tensor '", tensor.name, "': unknown kind or dtype");
  tensor.kind = *kind;
  tensor.dtype = *dtype;
  tensor.shape = shape_of(object.at("shape"));
  for (const json& slice : object.at("slices")) {
    tensor.slices.push_back({slice.at("offset").get<std::vector<int64_t>>(),
                             shape_of(slice.at("shape")), slice.at("file").get<size_t>(),
                             slice.at("key").get<std::string>()});
    HECATE_CHECK(tensor.slices.back().file < files, "tensor '", tensor.name,
                 "' lies in a file that is not listed");
  }
  return tensor;
}

Manifest parse_members(const json& root) {
  Manifest manifest;
  manifest.step = root.at("step").get<int64_t>();
  manifest.tokens = root.at("tokens").get<int64_t>();
  manifest.identity = root.at("identity").get<std::string>();
  for (const json& file : root.at("files")) manifest.files.push_back(parse_file(file));
  for (const json& tensor : root.at("tensors"))
    manifest.tensors.push_back(parse_tensor(tensor, manifest.files.size()));
  manifest.extra = root.at("extra").dump();
  return manifest;
}

void check_seal(std::string_view text, std::string_view label) {
  const size_t tail = kSeal.size() + kDigits + kEnd.size();
  const size_t sealed = text.size() < tail ? 0 : text.size() - tail;
  const std::string expected = concat(kSeal, checksum_of(text.substr(0, sealed)), kEnd);
  HECATE_CHECK(text.substr(sealed) == expected, label, ": altered: its checksum does not match");
}

}  // namespace

std::string manifest_text(const Manifest& manifest) {
  std::string text;
  try {
    text = concat("{\n\"format\": \"", kFormatName, "\",\n\"version\": ", kFormatVersion,
                  ",\n\"step\": ", manifest.step, ",\n\"tokens\": ", manifest.tokens,
                  ",\n\"identity\": ", json(manifest.identity).dump(),
                  ",\n\"files\": ", lines_of(manifest.files),
                  ",\n\"tensors\": ", lines_of(manifest.tensors),
                  ",\n\"extra\": ", json::parse(manifest.extra).dump(), ",\n");
  } catch (const json::exception& error) {
    throw InvalidArgument(concat("checkpoint manifest: ", error.what()));
  }
  return concat(text, kSeal, checksum_of(text), kEnd);
}

Manifest parse_manifest(std::string_view text, std::string_view label) {
  const json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  HECATE_CHECK(root.is_object(), label, ": truncated or altered: not a JSON object");
  HECATE_CHECK(root.value("format", json()) == json(kFormatName), label, ": not a manifest of a ",
               kFormatName);
  const json version = root.value("version", json());
  HECATE_CHECK(version == json(kFormatVersion), label, ": format version ", version.dump(),
               ", this program reads version ", kFormatVersion);
  check_seal(text, label);
  try {
    return parse_members(root);
  } catch (const json::exception& error) {
    throw InvalidArgument(concat(label, ": malformed: ", error.what()));
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(concat(label, ": malformed: ", error.what()));
  }
}

Manifest merge_parts(std::span<const Manifest> parts) {
  Manifest all;
  std::map<std::pair<Kind, std::string>, TensorRecord> tensors;
  for (const Manifest& part : parts) {
    const size_t first_file = all.files.size();
    all.files.insert(all.files.end(), part.files.begin(), part.files.end());
    for (const TensorRecord& tensor : part.tensors) {
      auto& merged = tensors[{tensor.kind, tensor.name}];
      if (merged.name.empty()) {
        merged = tensor;
        merged.slices.clear();
      }
      HECATE_CHECK(merged.dtype == tensor.dtype && merged.shape == tensor.shape,
                   name_of(tensor.kind), " '", tensor.name, "' is ", name_of(merged.dtype),
                   merged.shape, " on one rank, ", name_of(tensor.dtype), tensor.shape,
                   " on another");
      for (SliceRecord slice : tensor.slices) {
        slice.file += first_file;
        merged.slices.push_back(std::move(slice));
      }
    }
  }
  for (auto& [key, tensor] : tensors) all.tensors.push_back(std::move(tensor));
  if (!parts.empty()) {
    all.step = parts.front().step;
    all.tokens = parts.front().tokens;
    all.identity = parts.front().identity;
    all.extra = parts.front().extra;
  }
  return all;
}

void check_complete(const Manifest& manifest) {
  for (const TensorRecord& tensor : manifest.tensors) {
    int64_t covered = 0;
    for (size_t i = 0; i < tensor.slices.size(); ++i) {
      const Slice slice = tensor.slice(tensor.slices[i]);
      check_slice(slice);
      covered += slice.size();
      for (size_t j = 0; j < i; ++j)
        HECATE_CHECK(overlap_size(slice, tensor.slice(tensor.slices[j])) == 0, label_of(slice),
                     ": written twice, in ", manifest.files[tensor.slices[j].file].name, " and ",
                     manifest.files[tensor.slices[i].file].name);
    }
    HECATE_CHECK(covered == tensor.shape.size(), name_of(tensor.kind), " '", tensor.name,
                 "': ", covered, " of ", tensor.shape.size(), " elements present");
  }
}

void check_extra(std::string_view text) {
  const json extra = json::parse(text, nullptr, /*allow_exceptions=*/false);
  HECATE_CHECK(extra.is_object(), "checkpoint: extra is not a JSON object");
}

}  // namespace hecate::checkpoint

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/io/safetensors.h"

namespace hecate::io {
namespace {

using nlohmann::json;

struct DTypeBits {
  std::string_view name;
  uint64_t bits;
};

constexpr std::array<DTypeBits, 22> kDTypes{
    {{"BOOL", 8}, {"F4", 4},          {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
     {"I8", 8},   {"F8_E5M2", 8},     {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
     {"U16", 16}, {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"F16", 16},    {"BF16", 16},
     {"U32", 32}, {"I32", 32},        {"F32", 32},    {"C64", 64},    {"F64", 64},
     {"I64", 64}, {"U64", 64}}};

/// 0 for an unknown name.
uint64_t bits_of(std::string_view dtype) {
  for (const DTypeBits& known : kDTypes)
    if (known.name == dtype) return known.bits;
  return 0;
}

/// Bytes of a tensor of this dtype and shape. @throws InvalidArgument.
uint64_t checked_bytes(const TensorInfo& tensor, std::string_view label) {
  const uint64_t element_bits = bits_of(tensor.dtype);
  HECATE_CHECK(element_bits > 0, label, ": tensor '", tensor.name, "': unknown dtype '",
               tensor.dtype, "'");
  uint64_t bits = element_bits;
  for (const int64_t dim : tensor.shape) {
    HECATE_CHECK(dim >= 0, label, ": tensor '", tensor.name, "': negative dimension ", dim);
    const bool overflow = __builtin_mul_overflow(bits, static_cast<uint64_t>(dim), &bits);
    HECATE_CHECK(!overflow, label, ": tensor '", tensor.name, "': the size overflows 64 bits");
  }
  HECATE_CHECK(bits % 8 == 0, label, ": tensor '", tensor.name, "': ends inside a byte");
  return bits / 8;
}

/// The JSON, with repeated keys refused: readers would disagree on which one counts.
json parse_unique(std::string_view text, std::string_view label) {
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      const bool fresh = keys.back().insert(value.get<std::string>()).second;
      HECATE_CHECK(fresh, label, ": header names '", value.get<std::string>(), "' twice");
    }
    return true;
  };
  try {
    return json::parse(text, watch);
  } catch (const json::exception& error) {
    throw InvalidArgument(concat(label, ": header is not JSON: ", error.what()));
  }
}

Metadata parse_metadata(const json& object, std::string_view label) {
  HECATE_CHECK(object.is_object(), label, ": __metadata__ is not an object");
  Metadata metadata;
  for (const auto& [key, value] : object.items()) {
    HECATE_CHECK(value.is_string(), label, ": __metadata__ '", key, "' is not a string");
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

const json& member(const json& object, const char* key, const std::string& tensor,
                   std::string_view label) {
  const auto found = object.find(key);
  HECATE_CHECK(found != object.end(), label, ": tensor '", tensor, "' has no ", key);
  return *found;
}

TensorInfo parse_tensor(const std::string& name, const json& object, std::string_view label) {
  HECATE_CHECK(object.is_object(), label, ": tensor '", name, "' is not an object");
  HECATE_CHECK(object.size() == 3, label, ": tensor '", name,
               "' has fields beside dtype, shape and data_offsets");
  const json& dtype = member(object, "dtype", name, label);
  const json& shape = member(object, "shape", name, label);
  const json& offsets = member(object, "data_offsets", name, label);
  HECATE_CHECK(dtype.is_string(), label, ": tensor '", name, "': dtype is not a string");
  HECATE_CHECK(shape.is_array(), label, ": tensor '", name, "': shape is not an array");
  HECATE_CHECK(offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() &&
                   offsets[1].is_number_unsigned(),
               label, ": tensor '", name, "': data_offsets is not a pair of counts");
  TensorInfo tensor{
      name, dtype.get<std::string>(), {}, offsets[0].get<uint64_t>(), offsets[1].get<uint64_t>()};
  for (const json& dim : shape) {
    HECATE_CHECK(
        dim.is_number_unsigned() && dim.get<uint64_t>() <= std::numeric_limits<int64_t>::max(),
        label, ": tensor '", name, "': shape is not a list of counts");
    tensor.shape.push_back(dim.get<int64_t>());
  }
  return tensor;
}

void check_layout(const std::vector<TensorInfo>& tensors, uint64_t data_bytes,
                  std::string_view label) {
  uint64_t expected = 0;
  for (const TensorInfo& tensor : tensors) {
    HECATE_CHECK(tensor.begin <= tensor.end, label, ": tensor '", tensor.name, "': data_offsets [",
                 tensor.begin, ",", tensor.end, "] run backwards");
    HECATE_CHECK(tensor.begin == expected, label, ": tensor '", tensor.name, "' starts at ",
                 tensor.begin, ", expected ", expected,
                 tensor.begin < expected ? " (overlap)" : " (hole)");
    const uint64_t bytes = checked_bytes(tensor, label);
    HECATE_CHECK(bytes == tensor.bytes(), label, ": tensor '", tensor.name, "' takes ",
                 tensor.bytes(), " bytes, its dtype and shape ", bytes);
    HECATE_CHECK(tensor.end <= data_bytes, label, ": truncated: tensor '", tensor.name,
                 "' ends at ", tensor.end, " of ", data_bytes, " data bytes");
    expected = tensor.end;
  }
  HECATE_CHECK(expected == data_bytes, label, ": ", data_bytes - expected,
               " bytes behind the last tensor");
}

uint64_t read_u64(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (size_t i = 8; i-- > 0;) value = (value << 8) | static_cast<uint64_t>(bytes[i]);
  return value;
}

std::string quoted(const std::string& text) {
  try {
    return json(text).dump();
  } catch (const json::exception&) {
    throw InvalidArgument(concat("safetensors: '", text, "' is not UTF-8"));
  }
}

std::string header_entry(const TensorInfo& tensor) {
  std::string shape;
  for (const int64_t dim : tensor.shape) shape += concat(shape.empty() ? "" : ",", dim);
  return concat(quoted(tensor.name), R"(:{"dtype":")", tensor.dtype, R"(","shape":[)", shape,
                R"(],"data_offsets":[)", tensor.begin, ",", tensor.end, "]}");
}

void assign_offsets(std::vector<TensorInfo>& tensors) {
  std::set<std::string_view> names;
  uint64_t offset = 0;
  for (TensorInfo& tensor : tensors) {
    HECATE_CHECK(tensor.name != "__metadata__", "safetensors: the name __metadata__ is reserved");
    HECATE_CHECK(names.insert(tensor.name).second, "safetensors: two tensors named '", tensor.name,
                 "'");
    tensor.begin = offset;
    const bool overflow =
        __builtin_add_overflow(offset, checked_bytes(tensor, "safetensors"), &offset);
    HECATE_CHECK(!overflow, "safetensors: the file's size overflows 64 bits");
    tensor.end = offset;
  }
}

}  // namespace

SafetensorsHeader parse_header(std::span<const std::byte> file, std::string_view label) {
  HECATE_CHECK(file.size() >= 8, label, ": truncated: ", file.size(), " bytes, no header length");
  const uint64_t length = read_u64(file);
  HECATE_CHECK(length <= kMaxHeaderBytes, label, ": header of ", length, " bytes, at most ",
               kMaxHeaderBytes, "; not a safetensors file?");
  HECATE_CHECK(length <= file.size() - 8, label, ": truncated: header of ", length, " bytes in ",
               file.size() - 8);
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, length);
  HECATE_CHECK(text.starts_with('{'), label, ": header does not start with '{'");
  const json root = parse_unique(text, label);

  SafetensorsHeader header;
  header.data_begin = 8 + length;
  for (const auto& [name, value] : root.items()) {
    if (name == "__metadata__")
      header.metadata = parse_metadata(value, label);
    else
      header.tensors.push_back(parse_tensor(name, value, label));
  }
  // Empty tensors share their offset with a neighbour: the end decides.
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) {
              return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
            });
  check_layout(header.tensors, file.size() - header.data_begin, label);
  return header;
}

std::string build_header(std::vector<TensorInfo>& tensors, const Metadata& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    const uint64_t wide_a = bits_of(a.dtype), wide_b = bits_of(b.dtype);
    return wide_a != wide_b ? wide_a > wide_b : a.name < b.name;
  });
  assign_offsets(tensors);
  std::string text = "{";
  if (!metadata.empty()) {
    text += R"("__metadata__":{)";
    const char* comma = "";
    for (const auto& [key, value] : metadata) {
      text += concat(comma, quoted(key), ":", quoted(value));
      comma = ",";
    }
    text += '}';
  }
  for (const TensorInfo& tensor : tensors) {
    if (text.size() > 1) text += ',';
    text += header_entry(tensor);
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  HECATE_CHECK(text.size() <= kMaxHeaderBytes, "safetensors: header of ", text.size(),
               " bytes, at most ", kMaxHeaderBytes);
  std::string length(8, '\0');
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<char>((text.size() >> (8 * i)) & 0xffu);
  return length + text;
}

}  // namespace hecate::io

#include "runtime/io/safetensors.h"

#include "runtime/base/nearest_name.h"

namespace hecate::io {

TensorInfo tensor_info(std::string name, DType dtype, const Shape& shape) {
  TensorInfo tensor{std::move(name), std::string(name_of(dtype)), {}, 0, 0};
  for (int axis = 0; axis < shape.rank(); ++axis) tensor.shape.push_back(shape[axis]);
  return tensor;
}

std::optional<DType> parse_dtype(std::string_view name) {
  for (const DType dtype :
       {DType::f64, DType::f32, DType::bf16, DType::i64, DType::i32, DType::u16, DType::u8})
    if (name_of(dtype) == name) return dtype;
  return std::nullopt;
}

DType native_dtype(const TensorInfo& tensor) {
  const auto dtype = parse_dtype(tensor.dtype);
  HECATE_CHECK(dtype, "tensor '", tensor.name, "': dtype ", tensor.dtype, " is not supported");
  return *dtype;
}

Shape make_shape(std::span<const int64_t> dims) {
  switch (dims.size()) {
    case 0:
      return {};
    case 1:
      return {dims[0]};
    case 2:
      return {dims[0], dims[1]};
    case 3:
      return {dims[0], dims[1], dims[2]};
    case 4:
      return {dims[0], dims[1], dims[2], dims[3]};
    default:
      throw InvalidArgument(
          concat("a shape of ", dims.size(), " dimensions, at most ", Shape::kMaxRank));
  }
}

Shape native_shape(const TensorInfo& tensor) {
  HECATE_CHECK(tensor.shape.size() <= Shape::kMaxRank, "tensor '", tensor.name, "' has ",
               tensor.shape.size(), " dimensions, at most ", Shape::kMaxRank);
  return make_shape(tensor.shape);
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : path_(path), file_(path), header_(parse_header(file_.bytes(), path.string())) {
  for (size_t i = 0; i < header_.tensors.size(); ++i) index_.emplace(header_.tensors[i].name, i);
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &header_.tensors[found->second];
}

const TensorInfo& SafetensorsFile::at(std::string_view name) const {
  if (const TensorInfo* tensor = find(name)) return *tensor;
  std::vector<std::string> names;
  for (const TensorInfo& tensor : header_.tensors) names.push_back(tensor.name);
  const std::string nearest = nearest_name(name, names);
  throw InvalidArgument(concat(path_.string(), ": no tensor '", name, "'",
                               nearest.empty() ? "" : concat("; nearest: '", nearest, "'")));
}

std::span<const std::byte> SafetensorsFile::bytes(const TensorInfo& tensor) const {
  return file_.bytes().subspan(header_.data_begin + tensor.begin, tensor.bytes());
}

void SafetensorsFile::check_viewable(const TensorInfo& tensor, DType dtype,
                                     size_t alignment) const {
  HECATE_CHECK(tensor.dtype == name_of(dtype), path_.string(), ": tensor '", tensor.name,
               "': expected ", name_of(dtype), ", found ", tensor.dtype);
  const auto address = reinterpret_cast<uintptr_t>(bytes(tensor).data());
  HECATE_CHECK(address % alignment == 0, path_.string(), ": tensor '", tensor.name,
               "' is not aligned to ", alignment, " bytes");
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     std::vector<TensorInfo> tensors, const Metadata& metadata)
    : path_(path),
      tensors_(std::move(tensors)),
      header_(build_header(tensors_, metadata)),
      file_(path, header_.size() + (tensors_.empty() ? 0 : tensors_.back().end)) {
  file_.write(header_);
}

void SafetensorsWriter::skip_complete() {
  while (current_ < tensors_.size() && written_ == tensors_[current_].end) ++current_;
}

void SafetensorsWriter::append(std::string_view name, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  skip_complete();
  HECATE_CHECK(current_ < tensors_.size(), path_.string(), ": '", name, "' behind the last tensor");
  const TensorInfo& tensor = tensors_[current_];
  HECATE_CHECK(tensor.name == name, path_.string(), ": '", name, "' out of turn, expected '",
               tensor.name, "'");
  HECATE_CHECK(bytes.size() <= tensor.end - written_, path_.string(), ": tensor '", name,
               "': ", bytes.size(), " bytes, room for ", tensor.end - written_);
  file_.write(bytes);
  written_ += bytes.size();
}

FileDigest SafetensorsWriter::finish() {
  skip_complete();
  HECATE_CHECK(current_ == tensors_.size(), path_.string(), ": finished inside tensor '",
               tensors_[current_].name, "'");
  file_.finish();
  return {file_.bytes(), file_.checksum()};
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorData> tensors,
                       const Metadata& metadata) {
  std::vector<TensorInfo> order;
  std::map<std::string_view, std::span<const std::byte>> data;
  for (const TensorData& tensor : tensors) {
    order.push_back(tensor.info);
    data.emplace(tensor.info.name, tensor.bytes);
  }
  const std::string header = build_header(order, metadata);
  const auto produce = [&](FileWriter& file) {
    file.write(header);
    for (const TensorInfo& tensor : order) {
      const auto bytes = data.at(tensor.name);
      HECATE_CHECK(bytes.size() == tensor.bytes(), path.string(), ": tensor '", tensor.name,
                   "': ", bytes.size(), " bytes, its dtype and shape ", tensor.bytes());
      file.write(bytes);
    }
  };
  write_aside(path, produce, header.size() + (order.empty() ? 0 : order.back().end));
}

}  // namespace hecate::io

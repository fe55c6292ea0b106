#include "runtime/data/token_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include "runtime/base/error.h"
#include "runtime/data/token_formats.h"
#include "runtime/io/checksum.h"

namespace hecate::data {
namespace {

/// Copies and says whether every id is in [0, vocabulary).
template <class Id>
bool copy_ids(const std::byte* source, std::span<int32_t> ids, int64_t vocabulary) {
  bool valid = true;
  for (size_t i = 0; i < ids.size(); ++i) {
    Id id;
    std::memcpy(&id, source + i * sizeof(Id), sizeof(Id));
    valid &= static_cast<uint64_t>(static_cast<int64_t>(id)) < static_cast<uint64_t>(vocabulary);
    ids[i] = static_cast<int32_t>(id);
  }
  return valid;
}

bool copy_ids(TokenType type, const std::byte* source, std::span<int32_t> ids, int64_t vocabulary) {
  switch (type) {
    case TokenType::u8:
      return copy_ids<uint8_t>(source, ids, vocabulary);
    case TokenType::i16:
      return copy_ids<int16_t>(source, ids, vocabulary);
    case TokenType::u16:
      return copy_ids<uint16_t>(source, ids, vocabulary);
    case TokenType::i32:
      return copy_ids<int32_t>(source, ids, vocabulary);
    case TokenType::u32:
      return copy_ids<uint32_t>(source, ids, vocabulary);
    case TokenType::i64:
      return copy_ids<int64_t>(source, ids, vocabulary);
  }
  return false;
}

bool is_present(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace

TokenFile::TokenFile(std::filesystem::path path, std::unique_ptr<io::MappedFile> file,
                     TokenLayout layout)
    : path_(std::move(path)), file_(std::move(file)), layout_(std::move(layout)) {
  ids_ = file_->bytes().subspan(layout_.offset);
}

std::unique_ptr<TokenFile> TokenFile::open(const std::filesystem::path& path) {
  std::filesystem::path ids_path = path, index_path = path;
  if (path.extension() == ".idx") {
    ids_path.replace_extension(".bin");
  } else if (path.extension() == ".bin") {
    index_path.replace_extension(".idx");
  } else {
    index_path += ".idx";
    if (is_present(index_path)) ids_path += ".bin";
  }
  auto file = std::make_unique<io::MappedFile>(ids_path);
  TokenLayout layout;
  if (is_present(index_path) && index_path.extension() == ".idx") {
    const io::MappedFile index(index_path);
    HECATE_CHECK(is_megatron_index(index.bytes()), index_path.string(),
                 ": not a Megatron index (it does not begin with MMIDIDX)");
    layout = read_megatron_layout(index_path, index.bytes(), file->bytes().size());
  } else {
    layout = read_layout(ids_path, file->bytes());
  }
  return std::unique_ptr<TokenFile>(new TokenFile(ids_path, std::move(file), std::move(layout)));
}

void TokenFile::read(uint64_t first, std::span<int32_t> ids, int64_t vocabulary) const {
  HECATE_CHECK(first <= size() && ids.size() <= size() - first, path_.string(), ": read of ",
               ids.size(), " tokens at ", first, " of ", size());
  const std::byte* source = ids_.data() + first * size_of(layout_.type);
  if (copy_ids(layout_.type, source, ids, vocabulary)) [[likely]]
    return;
  for (size_t i = 0; i < ids.size(); ++i) {
    // Ids that do not fit were cut by the copy; the message needs the one in the file.
    std::array<int32_t, 1> id{};
    if (copy_ids(layout_.type, source + i * size_of(layout_.type), id, vocabulary)) continue;
    int64_t found = id[0];
    if (layout_.type == TokenType::u32) found = static_cast<uint32_t>(id[0]);
    if (layout_.type == TokenType::i64)
      std::memcpy(&found, source + i * sizeof(int64_t), sizeof(int64_t));
    throw InvalidArgument(concat(path_.string(), ": token ", first + i, " has id ", found,
                                 ", outside the vocabulary of ", vocabulary));
  }
}

void TokenFile::verify(int64_t vocabulary) const {
  std::array<int32_t, 4096> block;
  for (uint64_t first = 0; first < size(); first += block.size()) {
    const size_t count = std::min<uint64_t>(block.size(), size() - first);
    read(first, std::span(block).first(count), vocabulary);
  }
  if (layout_.format != "tok") return;
  const uint32_t crc = io::crc32c(ids_);
  HECATE_CHECK(crc == layout_.crc32c, path_.string(), ": altered token file: checksum ",
               io::checksum_text(crc), ", the header says ", io::checksum_text(layout_.crc32c));
}

std::string TokenFile::identity() const {
  uint32_t crc = layout_.crc32c;
  if (layout_.format != "tok") {
    constexpr size_t kSamples = 16, kSampleBytes = 4096;
    const size_t step = std::max<size_t>(ids_.size() / kSamples, 1);
    for (size_t at = 0; at < ids_.size(); at += step)
      crc = io::crc32c(ids_.subspan(at, std::min(kSampleBytes, ids_.size() - at)), crc);
  }
  return concat(layout_.format, ":", size(), ":", io::checksum_text(crc));
}

TokenWriter::TokenWriter(const std::filesystem::path& path, int64_t vocabulary,
                         int64_t document_end)
    : path_(path), file_(path) {
  HECATE_CHECK(vocabulary > 0 && vocabulary <= std::numeric_limits<int32_t>::max(), path.string(),
               ": vocabulary ", vocabulary);
  header_.vocabulary = vocabulary;
  header_.document_end = document_end;
  header_.id_bytes = vocabulary <= 65536 ? 2 : 4;
  const TokenHeader unfinished{.magic = {}};
  file_.write(std::as_bytes(std::span(&unfinished, 1)));
}

void TokenWriter::append(std::span<const int32_t> ids) {
  packed_.resize(ids.size() * header_.id_bytes);
  std::byte* out = packed_.data();
  for (const int32_t id : ids) {
    HECATE_CHECK(id >= 0 && id < header_.vocabulary, "token writer: id ", id,
                 " is outside the vocabulary of ", header_.vocabulary);
    std::memcpy(out, &id, header_.id_bytes);
    out += header_.id_bytes;
  }
  header_.crc32c = io::crc32c(packed_, header_.crc32c);
  header_.count += ids.size();
  file_.write(packed_);
}

void TokenWriter::finish() {
  file_.finish();
  const int descriptor = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) throw io::io_error(path_, "open", errno);
  const ssize_t written = ::pwrite(descriptor, &header_, sizeof(header_), 0);
  const int reason = written == ssize_t{sizeof(header_)} && ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (reason != 0) throw io::io_error(path_, "write of the header", reason);
}

}  // namespace hecate::data

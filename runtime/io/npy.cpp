#include "runtime/io/npy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <regex>

namespace hecate::io {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kAlignment = 64;
constexpr size_t kDimensionDigits = 21;  // of the largest number, with its separator
constexpr int64_t kLargest = int64_t{1} << 60;

// "<u2" -> 2; 0 for what is no plain number.
int64_t bytes_of(std::string_view type) {
  int64_t bytes = 0;
  if (type.size() < 3 || std::string_view("<|").find(type[0]) == std::string_view::npos ||
      std::string_view("biuf").find(type[1]) == std::string_view::npos)
    return 0;
  const auto [end, error] = std::from_chars(type.data() + 2, type.data() + type.size(), bytes);
  return error == std::errc{} && end == type.data() + type.size() ? bytes : 0;
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += concat(i > 0 ? ", " : "", shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

// The dictionary of a header and where the values begin.
std::pair<std::string_view, size_t> dictionary(std::string_view file, const std::string& source) {
  constexpr size_t kVersion = 6, kLength = 8;
  HECATE_CHECK(file.size() > kLength + 4 && file.starts_with(kMagic), source,
               ": expected a NumPy .npy file");
  const auto byte = [&](size_t at) { return static_cast<size_t>(static_cast<uint8_t>(file[at])); };
  const size_t version = byte(kVersion), width = version == 1 ? 2 : 4;
  HECATE_CHECK(version >= 1 && version <= 3, source, ": .npy version ", version,
               ": expected 1 to 3");
  size_t length = 0;
  for (size_t i = width; i-- > 0;) length = length << 8 | byte(kLength + i);
  const size_t begin = kLength + width;
  HECATE_CHECK(length <= file.size() - begin, source, ": the .npy header is cut off");
  return {file.substr(begin, length), begin + length};
}

// Names what was found without flooding the message.
std::string shown(std::string_view header) {
  return std::string(header.substr(0, std::min<size_t>(header.find_last_not_of(" \n") + 1, 120)));
}

std::vector<int64_t> parse_shape(std::string_view text, const std::string& source) {
  std::vector<int64_t> shape;
  int64_t elements = 1;
  for (const char* at = text.data(); at != text.data() + text.size();) {
    int64_t size = 0;
    const auto [end, error] = std::from_chars(at, text.data() + text.size(), size);
    if (error == std::errc{}) {
      HECATE_CHECK(size == 0 || elements <= kLargest / size, source, ": shape (", text,
                   ") is impossibly large");
      elements *= size;
      shape.push_back(size);
    }
    HECATE_CHECK(error != std::errc::result_out_of_range, source, ": shape (", text,
                 ") is impossibly large");
    at = error == std::errc{} ? end : at + 1;  // separators
  }
  return shape;
}

}  // namespace

int64_t NpyHeader::elements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

NpyHeader parse_npy_header(std::string_view file, const std::string& source) {
  static const std::regex type_pattern(R"('descr'\s*:\s*'([^']*)')");
  static const std::regex shape_pattern(R"('shape'\s*:\s*\(([0-9, ]*)\))");
  static const std::regex order_pattern(R"('fortran_order'\s*:\s*False)");
  const auto [text, end] = dictionary(file, source);
  const std::string header(text);
  std::smatch type, shape;
  HECATE_CHECK(std::regex_search(header, type, type_pattern) && bytes_of(type.str(1)) > 0, source,
               ": expected an array of little-endian numbers, header ", shown(header));
  HECATE_CHECK(std::regex_search(header, shape, shape_pattern), source, ": no shape in the header ",
               shown(header));
  HECATE_CHECK(std::regex_search(header, order_pattern), source, ": expected C order, header ",
               shown(header));
  return {.type = type.str(1), .shape = parse_shape(shape.str(1), source), .bytes = end};
}

std::string npy_header(std::string_view type, std::span<const int64_t> shape) {
  std::string text =
      concat("{'descr': '", type, "', 'fortran_order': False, 'shape': ", shape_text(shape), ", }");
  const size_t fixed = kMagic.size() + 4;  // version and length
  const size_t longest = fixed + 64 + type.size() + kDimensionDigits * shape.size();
  const size_t total = (longest + kAlignment) / kAlignment * kAlignment;
  text.resize(total - fixed - 1, ' ');
  std::string header(kMagic);
  header += {'\x01', '\x00', static_cast<char>((text.size() + 1) & 0xff),
             static_cast<char>((text.size() + 1) >> 8)};
  return header + text + '\n';
}

NpyFile::NpyFile(const std::filesystem::path& path) : file_(path) {
  const std::string_view text(reinterpret_cast<const char*>(file_.bytes().data()),
                              file_.bytes().size());
  header_ = parse_npy_header(text, path.string());
  const auto wanted = header_.elements() * bytes_of(header_.type);
  HECATE_CHECK(static_cast<int64_t>(text.size() - header_.bytes) >= wanted, path.string(),
               ": cut off: shape ", shape_text(header_.shape), " of ", header_.type, " is ", wanted,
               " bytes, found ", text.size() - header_.bytes);
}

const std::byte* NpyFile::data(size_t element_bytes) const {
  HECATE_CHECK(static_cast<int64_t>(element_bytes) == bytes_of(header_.type), "npy: values of ",
               header_.type, " read as ", element_bytes, " bytes each");
  return file_.bytes().data() + header_.bytes;
}

NpyAppender::NpyAppender(std::filesystem::path path, std::string_view type,
                         std::span<const int64_t> row_shape, int64_t rows)
    : path_(std::move(path)), type_(type), shape_{0}, row_bytes_(bytes_of(type)) {
  HECATE_CHECK(row_bytes_ > 0 && rows >= 0, path_.string(), ": npy type '", type, "', ", rows,
               " rows: expected a number type such as <u2 and at least 0 rows");
  shape_.insert(shape_.end(), row_shape.begin(), row_shape.end());
  for (const int64_t size : row_shape) row_bytes_ *= size;
  header_bytes_ = static_cast<int64_t>(npy_header(type_, shape_).size());
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw io_error(path_, "open", errno);
  try {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) throw io_error(path_, "stat", errno);
    // A crash may have torn the header of a file that had just been made.
    if (rows == 0 || status.st_size < header_bytes_)
      resize(0);
    else
      reopen(rows, status.st_size);
    filled_ = rows - rows_;
    rows_ = rows;
    write_header();
    resize(end());
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

NpyAppender::~NpyAppender() {
  try {
    flush();
  } catch (const Error&) {
    // The rows are in the file; the next open counts them.
  }
  ::close(descriptor_);
}

// Rows behind those that the header counts are whole if the file is long enough.
void NpyAppender::reopen(int64_t rows, int64_t file_bytes) {
  std::string text(static_cast<size_t>(header_bytes_), '\0');
  if (::pread(descriptor_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    throw io_error(path_, "read", errno);
  const NpyHeader found = parse_npy_header(text, path_.string());
  std::vector<int64_t> expected = shape_;
  expected[0] = found.shape.empty() ? 0 : found.shape[0];
  HECATE_CHECK(found.type == type_ && found.shape == expected, path_.string(), ": holds ",
               shape_text(found.shape), " of ", found.type, ", to be continued with rows of ",
               shape_text(std::span(shape_).subspan(1)), " of ", type_);
  HECATE_CHECK(static_cast<int64_t>(found.bytes) == header_bytes_, path_.string(),
               ": its header is not one that can grow; expected a file of hecate");
  rows_ = std::min(rows, row_bytes_ > 0 ? (file_bytes - header_bytes_) / row_bytes_ : rows);
  resize(end());
}

void NpyAppender::append(std::span<const std::byte> row) {
  HECATE_CHECK(static_cast<int64_t>(row.size()) == row_bytes_, path_.string(), ": a row of ",
               row.size(), " bytes, expected ", row_bytes_);
  write_at(row.data(), row.size(), end(), "append");
  ++rows_;
}

void NpyAppender::flush() {
  if (::fdatasync(descriptor_) != 0) throw io_error(path_, "sync", errno);
  write_header();
  if (::fdatasync(descriptor_) != 0) throw io_error(path_, "sync", errno);
}

void NpyAppender::write_header() {
  shape_[0] = rows_;
  const std::string header = npy_header(type_, shape_);
  write_at(header.data(), header.size(), 0, "write header");
}

void NpyAppender::write_at(const void* data, size_t bytes, int64_t offset,
                           std::string_view operation) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t count = ::pwrite(descriptor_, from, bytes, offset);
    if (count < 0 && errno != EINTR) throw io_error(path_, operation, errno);
    if (count <= 0) continue;
    from += count;
    bytes -= static_cast<size_t>(count);
    offset += count;
  }
}

void NpyAppender::resize(int64_t bytes) {
  if (::ftruncate(descriptor_, bytes) != 0) throw io_error(path_, "resize", errno);
}

}  // namespace hecate::io

#include "runtime/data/text_reader.h"

#include <zlib.h>

#include <cerrno>
#include <cstring>

#include "runtime/base/error.h"
#include "runtime/data/utf8.h"
#include "runtime/io/checksum.h"

namespace hecate::data {
namespace {

constexpr size_t kChunk = size_t{1} << 20;

/// A file through zlib, which passes plain files on as they are.
class TextReader {
 public:
  explicit TextReader(const std::filesystem::path& path) : path_(path.string()) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored)) throw IoError(path_ + ": is a directory");
    errno = 0;
    file_ = gzopen(path_.c_str(), "rb");
    if (file_ == nullptr) throw IoError(concat(path_, ": open: ", std::strerror(errno)));
    gzbuffer(file_, 1 << 17);
  }
  ~TextReader() { gzclose_r(file_); }
  TextReader(const TextReader&) = delete;
  TextReader& operator=(const TextReader&) = delete;

  /// Appends up to `limit` bytes; false at the end of the file.
  bool append(std::string& buffer, size_t limit) {
    const size_t size = buffer.size();
    buffer.resize(size + limit);
    const int count = gzread(file_, buffer.data() + size, static_cast<unsigned>(limit));
    buffer.resize(size + (count > 0 ? static_cast<size_t>(count) : 0));
    int code = Z_OK;
    const std::string reason = gzerror(file_, &code);
    // A gzip file that stops early reads well but leaves Z_BUF_ERROR behind.
    if (count < 0 || code == Z_BUF_ERROR)
      throw IoError(concat(path_, ": read: ", code == Z_ERRNO ? std::strerror(errno) : reason));
    return count > 0;
  }

 private:
  std::string path_;
  gzFile file_;
};

/// Finds separator lines and keeps track of document ends.
class DocumentSplitter {
 public:
  DocumentSplitter(const std::string& separator, const DocumentSink& sink)
      : separator_(separator), sink_(sink) {}

  /// Lines, the last one perhaps without its end: then it is the end of the file or a part of a
  /// line longer than a chunk.
  void add(std::string_view chunk) {
    const bool ends_line = chunk.back() == '\n';
    size_t begin = 0;
    for (size_t at = find_separator(chunk, 0); at != std::string_view::npos;
         at = find_separator(chunk, begin)) {
      emit(chunk.substr(begin, at - begin));
      end_document();
      const size_t newline = chunk.find('\n', at);
      begin = newline == std::string_view::npos ? chunk.size() : newline + 1;
    }
    emit(chunk.substr(begin));
    at_line_start_ = ends_line;
  }

  void end_file() {
    end_document();
    at_line_start_ = true;
  }

 private:
  size_t find_separator(std::string_view chunk, size_t from) const {
    if (separator_.empty()) return std::string_view::npos;
    for (size_t at = chunk.find(separator_, from); at != std::string_view::npos;
         at = chunk.find(separator_, at + 1)) {
      const bool starts = at == 0 ? at_line_start_ : chunk[at - 1] == '\n';
      std::string_view rest = chunk.substr(at + separator_.size());
      if (!rest.empty() && rest.front() == '\r') rest.remove_prefix(1);
      if (starts && (rest.empty() || rest.front() == '\n')) return at;
    }
    return std::string_view::npos;
  }

  void emit(std::string_view text) {
    if (text.empty()) return;
    sink_.text(text);
    open_ = true;
  }

  void end_document() {
    if (open_) sink_.end();
    open_ = false;
  }

  const std::string& separator_;
  const DocumentSink& sink_;
  bool at_line_start_ = true;
  bool open_ = false;
};

SourceInfo walk_file(const std::filesystem::path& path, DocumentSplitter& splitter) {
  TextReader reader(path);
  SourceInfo info;
  info.name = path.string();
  uint32_t crc = 0;
  std::string buffer;
  buffer.reserve(kChunk);
  for (bool more = true; more;) {
    const size_t old_size = buffer.size();
    more = reader.append(buffer, kChunk - old_size);
    const std::string_view fresh = std::string_view(buffer).substr(old_size);
    crc = io::crc32c(std::as_bytes(std::span(fresh)), crc);
    info.bytes += fresh.size();
    size_t cut = buffer.size();
    if (more) {
      const size_t newline = buffer.rfind('\n');
      if (newline != std::string::npos)
        cut = newline + 1;
      else if (buffer.size() < kChunk)
        continue;
      else
        cut = utf8_boundary(buffer, buffer.size() - 3);
    }
    if (cut > 0) splitter.add(std::string_view(buffer).substr(0, cut));
    buffer.erase(0, cut);
  }
  splitter.end_file();
  info.crc32c = io::checksum_text(crc);
  return info;
}

}  // namespace

std::vector<SourceInfo> walk_documents(std::span<const std::filesystem::path> files,
                                       const std::string& separator, const DocumentSink& sink) {
  DocumentSplitter splitter(separator, sink);
  std::vector<SourceInfo> sources;
  for (const std::filesystem::path& path : files) sources.push_back(walk_file(path, splitter));
  return sources;
}

}  // namespace hecate::data

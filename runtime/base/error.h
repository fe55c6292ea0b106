#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

/// The error tree. A broken contract is an InvalidArgument; a machine that failed is a DeviceError,
/// CommError or IoError. Messages carry the operation, what was expected and what was found.
/// Only main turns an error into an exit code.
namespace hecate {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller (or the configuration, or an input file's content) is wrong; retrying cannot help.
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

/// A device is missing, out of memory, or an operation on it failed.
class DeviceError : public Error {
 public:
  using Error::Error;
};

/// A peer is late, gone, or a transfer failed.
class CommError : public Error {
 public:
  using Error::Error;
};

/// A file could not be read or written; the message carries the path and the system's reason.
class IoError : public Error {
 public:
  using Error::Error;
};

/// A non-finite or diverging value stopped the run; the message names step, layer and tensor.
class NumericError : public Error {
 public:
  using Error::Error;
};

/// Streams every argument into one string.
template <class... Args>
std::string concat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

}  // namespace hecate

/// Throws InvalidArgument with the streamed message unless `condition` holds.
#define HECATE_CHECK(condition, ...)                                  \
  do {                                                                \
    if (!(condition)) [[unlikely]]                                    \
      throw ::hecate::InvalidArgument(::hecate::concat(__VA_ARGS__)); \
  } while (false)

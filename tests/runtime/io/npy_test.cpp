#include "runtime/io/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <numeric>

#include "runtime/base/error.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::io {
namespace {

using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string with_dictionary(const std::string& dictionary, char version = 1) {
  std::string text = "\x93NUMPY";
  text += {version, '\0', static_cast<char>(dictionary.size()), '\0'};
  if (version > 1) text += std::string(2, '\0');
  return text + dictionary;
}

std::string error_in(const std::string& file) {
  return message_of<InvalidArgument>([&] { parse_npy_header(file, "a.npy"); });
}

std::span<const std::byte> bytes_of(const std::vector<uint16_t>& values) {
  return std::as_bytes(std::span(values));
}

class NpyTest : public ::testing::Test {
 protected:
  NpyTest() : path_(scratch_ / "a.npy") {}

  // Appends rows of two values: {step, 10 * step} for steps first..last.
  static void append(NpyAppender& out, int first, int last) {
    for (int step = first; step <= last; ++step)
      out.append(bytes_of({static_cast<uint16_t>(step), static_cast<uint16_t>(10 * step)}));
  }
  std::vector<uint16_t> values() const {
    const NpyFile file(path_);
    const auto found = file.values<uint16_t>();
    return {found.begin(), found.end()};
  }

  static constexpr int64_t kRow[] = {2};
  ScratchDirectory scratch_;
  std::filesystem::path path_;
};

TEST_F(NpyTest, HeaderIsAlignedAndDoesNotGrowWithTheRows) {
  const std::vector<int64_t> none = {0, 16, 24, 32}, many = {999999999999, 16, 24, 32};
  const std::string header = npy_header("<u2", none);
  EXPECT_EQ(header.size() % 64, 0u);
  EXPECT_EQ(header.size(), npy_header("<u2", many).size());
  EXPECT_THAT(header.substr(10),
              StartsWith("{'descr': '<u2', 'fortran_order': False, 'shape': (0, 16, 24, 32), }"));
  EXPECT_EQ(header.back(), '\n');
  const NpyHeader read = parse_npy_header(npy_header("<u4", many), "a.npy");
  EXPECT_EQ(read.type, "<u4");
  EXPECT_EQ(read.shape, many);
  EXPECT_EQ(read.bytes, header.size());
}

TEST_F(NpyTest, ReadsEveryVersionAndNumberOfDimensions) {
  const NpyHeader third = parse_npy_header(
      with_dictionary("{'shape': (3,), 'fortran_order': False, 'descr': '|u1'}\n", 3), "a.npy");
  EXPECT_THAT(third.shape, ElementsAre(3));
  EXPECT_EQ(third.type, "|u1");
  const NpyHeader scalar = parse_npy_header(
      with_dictionary("{'descr': '<f8', 'fortran_order': False, 'shape': (), }"), "a.npy");
  EXPECT_TRUE(scalar.shape.empty());
  EXPECT_EQ(scalar.elements(), 1);
}

TEST_F(NpyTest, OtherFilesAreRefusedWithWhatWasFound) {
  EXPECT_EQ(error_in("PK and more than that"), "a.npy: expected a NumPy .npy file");
  EXPECT_EQ(error_in(with_dictionary("{'descr'", 9)), "a.npy: .npy version 9: expected 1 to 3");
  const std::string whole = npy_header("<u2", kRow);
  EXPECT_EQ(error_in(whole.substr(0, 60)), "a.npy: the .npy header is cut off");
  EXPECT_THAT(error_in(with_dictionary("{'descr': '>u2', 'fortran_order': False, 'shape': (2,)}")),
              HasSubstr("little-endian"));
  EXPECT_THAT(error_in(with_dictionary("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}")),
              HasSubstr("'|O'"));
  EXPECT_THAT(error_in(with_dictionary("{'descr': '<u2', 'fortran_order': True, 'shape': (2,)}")),
              HasSubstr("expected C order"));
  EXPECT_THAT(error_in(with_dictionary("{'descr': '<u2', 'fortran_order': False}")),
              HasSubstr("no shape"));
  EXPECT_THAT(error_in(with_dictionary("{'descr': '<u2', 'fortran_order': False, 'shape': "
                                       "(99999999999, 99999999999)}")),
              HasSubstr("impossibly large"));
  EXPECT_THAT(error_in(with_dictionary("{'descr': '<u2', 'fortran_order': False, 'shape': "
                                       "(99999999999999999999,)}")),
              HasSubstr("impossibly large"));
}

TEST_F(NpyTest, AFileShorterThanItsShapeIsRefused) {
  const int64_t shape[] = {3, 2};
  write_file(path_, npy_header("<u2", shape) + "1234567");
  EXPECT_EQ(message_of<InvalidArgument>([&] { NpyFile file(path_); }),
            path_.string() + ": cut off: shape (3, 2) of <u2 is 12 bytes, found 7");
}

TEST_F(NpyTest, ValuesOfAnotherSizeAreRefused) {
  const NpyAppender out(path_, "<u2", kRow, 0);
  EXPECT_THROW(NpyFile(path_).values<uint32_t>(), InvalidArgument);
}

TEST_F(NpyTest, AppendedRowsAreSeenAfterAFlush) {
  NpyAppender out(path_, "<u2", kRow, 0);
  append(out, 1, 2);
  EXPECT_THAT(values(), ElementsAre());
  out.flush();
  EXPECT_THAT(values(), ElementsAre(1, 10, 2, 20));
  append(out, 3, 3);
  EXPECT_THAT(values(), ElementsAre(1, 10, 2, 20));
  EXPECT_EQ(out.rows(), 3);
}

TEST_F(NpyTest, ClosingFlushesAndReopeningContinues) {
  { append(*std::make_unique<NpyAppender>(path_, "<u2", kRow, 0), 1, 2); }
  NpyAppender again(path_, "<u2", kRow, 2);
  EXPECT_EQ(again.filled(), 0);
  append(again, 3, 3);
  again.flush();
  EXPECT_THAT(values(), ElementsAre(1, 10, 2, 20, 3, 30));
}

TEST_F(NpyTest, ReopeningEarlierDropsTheRowsBehind) {
  { append(*std::make_unique<NpyAppender>(path_, "<u2", kRow, 0), 1, 5); }
  { append(*std::make_unique<NpyAppender>(path_, "<u2", kRow, 2), 9, 9); }
  EXPECT_THAT(values(), ElementsAre(1, 10, 2, 20, 9, 90));
  const NpyAppender empty(path_, "<u2", kRow, 0);
  EXPECT_THAT(values(), ElementsAre());
}

// The rows are in the file, the header was never rewritten, and the last row is torn.
TEST_F(NpyTest, RowsOfACrashedProcessAreKept) {
  const int64_t none[] = {0, 2};
  std::string file = npy_header("<u2", none);
  const std::vector<uint16_t> rows = {1, 10, 2, 20, 3};
  file.append(reinterpret_cast<const char*>(rows.data()), 2 * rows.size());
  write_file(path_, file);
  NpyAppender out(path_, "<u2", kRow, 3);
  EXPECT_EQ(out.filled(), 1);
  append(out, 4, 4);
  out.flush();
  EXPECT_THAT(values(), ElementsAre(1, 10, 2, 20, 0, 0, 4, 40));
}

TEST_F(NpyTest, MissingRowsAreZeros) {
  NpyAppender out(path_, "<u2", kRow, 2);
  EXPECT_EQ(out.filled(), 2);
  append(out, 3, 3);
  out.flush();
  EXPECT_THAT(values(), ElementsAre(0, 0, 0, 0, 3, 30));
}

TEST_F(NpyTest, AnotherTypeOrShapeIsNotContinued) {
  { append(*std::make_unique<NpyAppender>(path_, "<u2", kRow, 0), 1, 2); }
  const int64_t other[] = {4};
  EXPECT_EQ(message_of<InvalidArgument>([&] { NpyAppender(path_, "<u2", other, 1); }),
            path_.string() + ": holds (2, 2) of <u2, to be continued with rows of (4,) of <u2");
  EXPECT_THAT(message_of<InvalidArgument>([&] { NpyAppender(path_, "<u4", kRow, 1); }),
              HasSubstr("of <u4"));
  EXPECT_THAT(values(), ElementsAre(1, 10, 2, 20));
  EXPECT_THROW(NpyAppender(path_, "<u2", kRow, 2).append({}), InvalidArgument);
}

TEST_F(NpyTest, AFullDiskIsNamedAndTheRowDoesNotCount) {
  NpyAppender out(path_, "<u2", kRow, 0);
  append(out, 1, 1);
  out.flush();
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{static_cast<rlim_t>(std::filesystem::file_size(path_) + 2), before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string message = message_of<IoError>([&] { append(out, 2, 2); });
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(message, StartsWith(path_.string() + ": append: "));
  EXPECT_EQ(out.rows(), 1);
  append(out, 3, 3);
  out.flush();
  EXPECT_THAT(values(), ElementsAre(1, 10, 3, 30));
}

TEST_F(NpyTest, NumPyReadsIt) {
  if (std::system("python3 -c 'import numpy' 2>/dev/null") != 0)
    GTEST_SKIP() << "python3 has no NumPy";
  const int64_t shape[] = {3, 2};
  {
    NpyAppender out(path_, "<u4", shape, 0);
    std::vector<uint32_t> row(6);
    for (uint32_t step = 0; step < 4; ++step) {
      std::iota(row.begin(), row.end(), 100000 * step);
      out.append(std::as_bytes(std::span(row)));
    }
    out.flush();
    out.append(std::as_bytes(std::span(row)));  // behind the header's rows
    const std::string check =
        "python3 -c \"import numpy as n; a = n.load('" + path_.string() +
        "'); assert a.shape == (4, 3, 2) and a.dtype == n.uint32, (a.shape, a.dtype); "
        "assert a[3, 2, 1] == 300005 and a[1, 0, 0] == 100000, a\"";
    EXPECT_EQ(std::system(check.c_str()), 0);
  }
  ASSERT_EQ(std::system(("python3 -c \"import numpy as n; n.save('" + path_.string() +
                         "', n.arange(12, dtype=n.uint16).reshape(2, 3, 2))\"")
                            .c_str()),
            0);
  const NpyFile file(path_);
  EXPECT_THAT(file.shape(), ElementsAre(2, 3, 2));
  EXPECT_EQ(file.values<uint16_t>()[11], 11);
}

}  // namespace
}  // namespace hecate::io

#include "runtime/io/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "runtime/io/checksum.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::io {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;
using testing::ScratchDirectory;

TEST(File, WritesReadsAndMapsTheSameBytes) {
  const ScratchDirectory scratch;
  for (const size_t size : {0u, 1u, 4096u, 1'000'003u}) {
    std::string content(size, 'x');
    for (size_t i = 0; i < size; ++i) content[i] = static_cast<char>(i * 31 + i / 256);
    write_file(scratch / "file", content);
    EXPECT_EQ(read_file(scratch / "file"), content);
    const MappedFile mapped(scratch / "file");
    ASSERT_EQ(mapped.bytes().size(), size);
    EXPECT_TRUE(std::ranges::equal(mapped.bytes(), std::as_bytes(std::span(content))));
    const FileDigest digest = digest_file(scratch / "file");
    EXPECT_EQ(digest.bytes, size);
    EXPECT_EQ(digest.checksum, crc32c(std::as_bytes(std::span(content))));
  }
}

TEST(File, WriterCountsAndChecksumsPiecesOfAnySize) {
  const ScratchDirectory scratch;
  std::string expected;
  FileWriter writer(scratch / "file");
  for (const size_t piece : {0u, 1u, 70'000u, 200'000u, 262'144u, 300'000u, 5u, 900'000u, 7u}) {
    const std::string text(piece, static_cast<char>('a' + piece % 26));
    writer.write(text);
    expected += text;
  }
  writer.finish();
  EXPECT_EQ(read_file(scratch / "file"), expected);
  EXPECT_EQ(writer.bytes(), expected.size());
  EXPECT_EQ(writer.checksum(), crc32c(std::as_bytes(std::span(expected))));
  EXPECT_THROW(writer.write("more"), InvalidArgument);
  EXPECT_THROW(writer.finish(), InvalidArgument);
}

TEST(File, ReadsFilesWhoseSizeIsNotKnownBeforehand) {
  EXPECT_THAT(read_file("/proc/self/status"), HasSubstr("Name:"));
}

TEST(File, ErrorsCarryPathAndReason) {
  const ScratchDirectory scratch;
  const std::string missing = (scratch / "missing").string();
  const auto names_both = AllOf(HasSubstr(missing), HasSubstr("No such file or directory"));
  EXPECT_THAT(message_of<IoError>([&] { read_file(missing); }), names_both);
  EXPECT_THAT(message_of<IoError>([&] { MappedFile file(missing); }), names_both);
  EXPECT_THAT(message_of<IoError>([&] { digest_file(missing); }), names_both);
  EXPECT_THAT(message_of<IoError>([&] { FileWriter writer(missing + "/file"); }), names_both);
  EXPECT_THAT(message_of<IoError>([&] { rename_path(missing, scratch / "other"); }), names_both);
  EXPECT_THAT(message_of<IoError>([&] { read_file(scratch.path()); }), HasSubstr("Is a directory"));
  EXPECT_THAT(message_of<IoError>([&] { MappedFile file(scratch.path()); }),
              HasSubstr("Is a directory"));
}

TEST(File, FullDiskIsNamedWithTheBytesThatDidNotFit) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const std::string unknown_size = message_of<IoError>([] {
    FileWriter writer("/dev/full");
    writer.write(std::string(1000, 'x'));
    writer.finish();
  });
  EXPECT_THAT(unknown_size, AllOf(HasSubstr("/dev/full"), HasSubstr("disk full"),
                                  HasSubstr("1000 of 1000 bytes did not fit")));
  const std::string known_size = message_of<IoError>([] {
    FileWriter writer("/dev/full", 5'000'000);
    writer.write(std::string(1'000'000, 'x'));
  });
  EXPECT_THAT(known_size, HasSubstr("5000000 of 5000000 bytes did not fit"));
}

TEST(File, FailedReplacementKeepsTheOldFileAndNoLeftovers) {
  const ScratchDirectory scratch;
  write_file(scratch / "file", "old");
  EXPECT_THROW(write_aside(scratch / "file",
                           [](FileWriter& writer) {
                             writer.write("half of the n");
                             throw DeviceError("lost");
                           }),
               DeviceError);
  EXPECT_EQ(read_file(scratch / "file"), "old");
  const std::filesystem::directory_iterator files(scratch.path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

TEST(File, MappingMoves) {
  const ScratchDirectory scratch;
  write_file(scratch / "a", "aaa");
  write_file(scratch / "b", "bb");
  MappedFile a(scratch / "a"), b(scratch / "b");
  b = std::move(a);
  EXPECT_EQ(b.bytes().size(), 3u);
  const MappedFile c = std::move(b);
  EXPECT_EQ(static_cast<char>(c.bytes()[2]), 'a');
}

}  // namespace
}  // namespace hecate::io

#include "scheduler/pbt/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "runtime/base/error.h"
#include "scheduler/pbt/event_text.h"
#include "scheduler/pbt/server.h"

namespace hecate::pbt {
namespace {

using ::testing::HasSubstr;

std::string error_of(const std::string& header, const FrameLimits& limits = {}) {
  try {
    decode_header(header, limits);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "";
}

TEST(Frame, HeaderSaysWhatFollows) {
  const std::string bytes = encode({R"({"a":1})", std::string(70000, 'x')});
  const FrameHeader header = decode_header(bytes.substr(0, kHeaderBytes));
  EXPECT_EQ(header.text, 7u);
  EXPECT_EQ(header.blob, 70000u);
  EXPECT_EQ(bytes.size(), kHeaderBytes + 7 + 70000);
}

TEST(Frame, OtherProtocolsVersionsAndSizesAreRefused) {
  std::string header = encode({"{}", ""}).substr(0, kHeaderBytes);
  EXPECT_THAT(error_of("GET / HTTP/1"), HasSubstr("not a message of hecate pbt"));
  EXPECT_THAT(error_of(header, {.text = 1, .blob = 0}), HasSubstr("at most 1 + 0"));
  header[3] = 9;
  EXPECT_THAT(error_of(header), HasSubstr("protocol version 9: this side speaks 1"));
  EXPECT_THROW(encode({std::string(kMostText + 1, ' '), ""}), InvalidArgument);
}

TEST(Secrets, AreEqualOnlyIfEveryByteIs) {
  EXPECT_TRUE(equal_secrets("", ""));
  EXPECT_TRUE(equal_secrets("secret", "secret"));
  for (const char* wrong : {"", "secre", "secreT", "Secret", "secretsecret", "s"})
    EXPECT_FALSE(equal_secrets("secret", wrong)) << wrong;
  EXPECT_FALSE(equal_secrets("", "x"));
}

TEST(AddressText, IsHostAndPort) {
  EXPECT_EQ(parse_address("localhost:7777").port, 7777);
  EXPECT_EQ(parse_address("[::1]:80").host, "::1");
  for (const char* bad : {"", "localhost", "localhost:", ":80", "a:70000", "a:8x"})
    EXPECT_THROW(parse_address(bad), InvalidArgument) << bad;
}

TEST(EventText, ReadsBackToTheSameBits) {
  population::DimensionConfig rate;
  rate.key = "rate";
  rate.min = 1e-300;
  rate.max = 1e300;
  const population::SearchSpace space({rate});
  population::Event event;
  event.kind = population::EventKind::lease;
  event.member = 3;
  event.lease = 1234567890123;
  event.worker = "w \"1\"\n";
  event.point = {0.1 + 0.2};
  event.copy = population::Copy{.donor = 2,
                                .incarnation = 1,
                                .step = 77,
                                .donor_score = 1.0 / 3,
                                .target_score = std::numeric_limits<double>::quiet_NaN()};
  const population::Event back = event_of(to_text(event, space), space);
  EXPECT_EQ(back.kind, event.kind);
  EXPECT_EQ(back.lease, event.lease);
  EXPECT_EQ(back.worker, event.worker);
  EXPECT_EQ(back.point, event.point);
  EXPECT_EQ(back.copy->donor_score, event.copy->donor_score);
  EXPECT_NE(back.copy->target_score, back.copy->target_score);
  EXPECT_THROW(event_of(R"({"event":"lease"})", space), InvalidArgument);
  EXPECT_THROW(event_of(R"({"event":"?","member":0})", space), InvalidArgument);
}

}  // namespace
}  // namespace hecate::pbt

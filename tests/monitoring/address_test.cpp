#include "monitoring/address.h"

#include <gmock/gmock.h>

#include "runtime/base/error.h"

namespace hecate::monitoring {
namespace {

using ::testing::HasSubstr;

TEST(AddressTest, ReadsHostPortAndWhetherOthersReachIt) {
  struct Case {
    const char *text, *host;
    int port;
    bool loopback;
  };
  for (const Case& c :
       {Case{"127.0.0.1:9464", "127.0.0.1", 9464, true}, Case{"localhost:1", "127.0.0.1", 1, true},
        Case{"127.9.9.9:0", "127.9.9.9", 0, true}, Case{"[::1]:65535", "::1", 65535, true},
        Case{"0.0.0.0:9464", "0.0.0.0", 9464, false}, Case{"[::]:9464", "::", 9464, false},
        Case{"10.0.0.1:9464", "10.0.0.1", 9464, false},
        Case{"[fe80::1]:9464", "fe80::1", 9464, false}}) {
    const Address address = parse_address(c.text);
    EXPECT_EQ(address.host, c.host);
    EXPECT_EQ(address.port, c.port);
    EXPECT_EQ(address.loopback, c.loopback) << c.text;
    EXPECT_EQ(parse_address(address.text()).text(), address.text());
  }
}

TEST(AddressTest, RefusesWhatIsNone) {
  for (const char* text : {"", "9464", ":9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                           "127.0.0.1:-1", "127.0.0.1:80x", "host:80", "::1:80", "[127.0.0.1]:80",
                           "127.0.0.1:80,0.0.0.0:81", "1.2.3:4"})
    EXPECT_THROW(parse_address(text), InvalidArgument) << text;
}

TEST(AddressTest, OthersReachOnlyWhatIsAllowed) {
  check_local(parse_address("127.0.0.1:9464"), false);
  check_local(parse_address("0.0.0.0:9464"), true);
  try {
    check_local(parse_address("0.0.0.0:9464"), false);
    FAIL() << "accepted";
  } catch (const InvalidArgument& error) {
    EXPECT_THAT(error.what(), HasSubstr("metrics.allow_remote = true"));
    EXPECT_THAT(error.what(), HasSubstr("127.0.0.1:9464"));
  }
}

}  // namespace
}  // namespace hecate::monitoring

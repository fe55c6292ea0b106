#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launcher/checkpoint/state.h"
#include "tests/runtime/io/scratch.h"

/// A sound checkpoint, but of another model than the one that asks.
namespace hecate::checkpoint {
namespace {

using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Mismatch : public ::testing::Test {
 protected:
  Mismatch() : checkpoint_(testing::save_now(scratch_.path(), testing::small_model(), 1)) {}

  std::string refusal(const std::string& name, Kind kind, DType dtype, const Shape& shape) {
    return message_of<InvalidArgument>([&] {
      testing::load_whole(checkpoint_, {name, kind, dtype, shape});
    });
  }

  ScratchDirectory scratch_;
  Checkpoint checkpoint_;
};

TEST_F(Mismatch, ShapeNamesTensorExpectedAndFound) {
  EXPECT_THAT(refusal("layers.0.wq", Kind::parameter, DType::f32, {8, 16}),
              AllOf(HasSubstr("parameter 'layers.0.wq'"),
                    HasSubstr("expected shape [8,16], found [8,8]"), HasSubstr("step-00000001")));
}

TEST_F(Mismatch, DTypeNamesTensorExpectedAndFound) {
  EXPECT_THAT(refusal("layers.0.wq", Kind::first_moment, DType::f64, {8, 8}),
              AllOf(HasSubstr("first_moment 'layers.0.wq'"), HasSubstr("expected F64, found F32")));
}

TEST_F(Mismatch, MissingTensorIsNamedWithTheNearestOfItsKind) {
  EXPECT_THAT(refusal("layers.0.wk", Kind::parameter, DType::f32, {8, 8}),
              HasSubstr("no parameter 'layers.0.wk'; nearest: 'layers.0.wq'"));
  EXPECT_THAT(refusal("embed.weight", Kind::first_moment, DType::f32, {16, 8}),
              HasSubstr("no first_moment 'embed.weight'"));
}

TEST_F(Mismatch, TargetsMustLieInTheirTensor) {
  std::vector<float> room(64);
  TargetSlice target{{"layers.0.wq", Kind::parameter, DType::f32, {8, 8}, {4, 0}, {8, 8}},
                     room.data()};
  EXPECT_THAT(message_of<InvalidArgument>([&] {
                checkpoint_.load({&target, 1});
              }),
              HasSubstr("[4,12) on axis 0 of [8,8]"));
  target.offset = {0, 0};
  target.data = nullptr;
  EXPECT_THAT(message_of<InvalidArgument>([&] {
                checkpoint_.load({&target, 1});
              }),
              HasSubstr("nowhere to load it to"));
}

}  // namespace
}  // namespace hecate::checkpoint

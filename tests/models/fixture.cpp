#include "tests/models/fixture.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace hecate::models {
namespace {

using Json = nlohmann::json;

// Sets the members that the JSON object names.
template <class T>
void assign(const Json& json, T& object) {
  size_t used = 0;
  T::fields(object, [&](const char* key, auto& member, auto&&...) {
    using Member = std::remove_cvref_t<decltype(member)>;
    if constexpr (std::is_constructible_v<Json, Member>)
      if (json.contains(key)) {
        member = json.at(key).template get<Member>();
        ++used;
      }
  });
  HECATE_CHECK(used == json.size(), "fixture: unknown key in ", json.dump());
}

Json metadata(const io::SafetensorsFile& file, const char* key) {
  return Json::parse(file.metadata().at(key));
}

}  // namespace

Fixture::Fixture(const std::string& name)
    : file_(std::string(HECATE_SOURCE_DIR "/tests/reference/fixtures/") + name + ".safetensors") {
  const Json config = metadata(file_, "config");
  assign(config.at("model"), model);
  assign(config.at("router"), router);
  const Json update = metadata(file_, "optimizer");
  rate = update.at("rate");
  optimizer.beta1 = update.at("beta1");
  optimizer.beta2 = update.at("beta2");
  optimizer.eps = update.at("eps");
  optimizer.weight_decay = update.at("weight_decay");
  optimizer.clip = update.at("clip");
  const Json shape = metadata(file_, "batch");
  batch = {.sequences = shape.at("sequences"), .sequence = shape.at("sequence")};
  batches = shape.at("batches");
  documents = has("document_begin");
}

std::vector<double> Fixture::values(const std::string& name) const {
  const auto view = file_.view<float>(name);
  return {view.data(), view.data() + view.size()};
}

std::vector<int32_t> Fixture::integers(const std::string& name) const {
  const auto view = file_.view<int32_t>(name);
  return {view.data(), view.data() + view.size()};
}

std::unique_ptr<TinyModel> Fixture::build(GraphMode mode) const {
  auto m = std::make_unique<TinyModel>(model, router, batch, mode, documents);
  for (size_t i = 0; i < m->layout.specs().size(); ++i) {
    const auto id = static_cast<ParameterId>(i);
    const std::vector<double> weights = values(m->layout.spec(id).name);
    const std::span<Real> piece = m->storage.piece(m->storage.values(), id);
    HECATE_CHECK(weights.size() == piece.size(), m->layout.spec(id).name, ": ", weights.size(),
                 " values, expected ", piece.size());
    std::ranges::transform(weights, piece.begin(), [](double w) { return static_cast<Real>(w); });
  }
  bind_batch(*m, 0, mode);
  return m;
}

void Fixture::bind_batch(TinyModel& m, int64_t index, GraphMode mode) const {
  const int64_t begin = index * batch.tokens(), end = begin + batch.tokens();
  const auto take = [&](const char* name, std::vector<int32_t>& out) {
    const std::vector<int32_t> all = integers(name);
    out.assign(all.begin() + begin, all.begin() + end);
    return out.data();
  };
  m.executor.bind(m.graph.inputs().tokens, take("tokens", m.tokens));
  take("targets", m.targets);
  if (mode != GraphMode::logits) m.executor.bind(m.graph.inputs().targets, m.targets.data());
  if (documents)
    m.executor.bind(m.graph.inputs().document_begin, take("document_begin", m.document_begin));
  m.state.scalars.loss_scale =
      1.0 / static_cast<double>(std::ranges::count_if(m.targets, [](int32_t t) { return t >= 0; }));
}

}  // namespace hecate::models

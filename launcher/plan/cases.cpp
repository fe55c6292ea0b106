#include "launcher/plan/cases.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"
#include "sharding/balanced/planner.h"
#include "sharding/load_order.h"
#include "sharding/materialization.h"
#include "sharding/ownership.h"
#include "sharding/policies/eplb.h"
#include "sharding/policies/fastermoe.h"
#include "sharding/policies/flexmoe.h"
#include "sharding/policies/laer.h"
#include "sharding/policies/smartmoe.h"

namespace hecate::launcher {
namespace {

using Json = nlohmann::ordered_json;
using Numbers = std::vector<double>;

template <class T>
T input(const Json& test, const char* key) {
  HECATE_CHECK(test.is_object() && test.contains(key), "'", key, "' is missing");
  try {
    return test[key].get<T>();
  } catch (const Json::exception& error) {
    throw InvalidArgument(concat("'", key, "': ", error.what()));
  }
}

void algorithm1(Json& test) {
  const auto node_of = input<std::vector<int>>(test, "node_of_device");
  const auto owners = collectives::Placement::from_owners(input<std::vector<int>>(test, "owner"),
                                                          static_cast<int>(node_of.size()));
  const auto placement = sharding::materialize(
      owners, input<Numbers>(test, "load"), input<int>(test, "t"), input<int>(test, "m"), node_of);
  Json& holders = test["holders"] = Json::array();
  for (int e = 0; e < placement.experts(); ++e)
    holders.push_back(std::vector<int>(placement.holders(e).begin(), placement.holders(e).end()));
}

void algorithm2(Json& test) {
  const auto node_of = input<std::vector<int>>(test, "node_of_device");
  const auto loads = input<std::vector<Numbers>>(test, "load");
  const auto t = input<int>(test, "t");
  const sharding::Ownership owners = sharding::reshard(loads, t, node_of);
  std::vector<int> free_slots(node_of.size());
  Json& remaining = test["owner_of_remaining"] = Json::array();
  for (int l = 0; l < owners.layers(); ++l) {
    std::vector<int> layer(owners.layer(l).begin(), owners.layer(l).end());
    for (int e : sharding::most_loaded(loads[static_cast<size_t>(l)], t)) {
      ++free_slots[static_cast<size_t>(owners.owner(l, e))];
      layer[static_cast<size_t>(e)] = -1;
    }
    remaining.push_back(layer);
  }
  test["free_slots_after"] = free_slots;
}

void smartmoe(Json& test) {
  const auto plan = sharding::exchange_experts(
      input<std::vector<int>>(test, "owner"), input<Numbers>(test, "load"),
      input<int>(test, "devices"), input<int>(test, "slots"));
  test["new_owner"] = plan.owners;
  test["adopted"] = plan.adopted;
}

void fastermoe(Json& test) {
  test["shadowed"] = sharding::shadowed_experts(input<Numbers>(test, "load"),
                                                {.d_model = input<double>(test, "H"),
                                                 .hidden_ratio = input<double>(test, "alpha"),
                                                 .bytes = input<double>(test, "bytes"),
                                                 .bandwidth = input<double>(test, "bandwidth"),
                                                 .flops = input<double>(test, "flops")});
}

void eplb(Json& test) {
  const sharding::EplbShape shape{.replicas = input<int>(test, "replicas"),
                                  .groups = input<int>(test, "groups"),
                                  .nodes = input<int>(test, "nodes"),
                                  .devices = input<int>(test, "devices")};
  Json experts = Json::array(), copies = Json::array();
  for (const Numbers& loads : input<std::vector<Numbers>>(test, "load")) {
    const sharding::EplbLayer layer = sharding::eplb(loads, shape);
    experts.push_back(layer.expert_of);
    copies.push_back(layer.copies);
  }
  test["physical_to_logical"] = experts;
  test["replica_count"] = copies;
}

sharding::LayerCost layer_cost(const Json& test) {
  sharding::LayerCost cost;
  cost.topology.node_of = input<std::vector<int>>(test, "node_of_device");
  cost.topology.inside.bytes_per_s = input<double>(test, "inside");
  cost.topology.between.bytes_per_s = input<double>(test, "between");
  cost.seconds_per_row = input<double>(test, "seconds_per_token");
  cost.row_bytes = input<double>(test, "token_bytes");
  return cost;
}

// One table of [rows, columns] in a row.
template <class T>
std::vector<T> table(const Json& test, const char* key, size_t& rows) {
  const auto all = input<std::vector<std::vector<T>>>(test, key);
  rows = all.size();
  std::vector<T> flat;
  for (const std::vector<T>& row : all) {
    HECATE_CHECK(row.size() == all.front().size(), "'", key, "': rows of ", row.size(), " and ",
                 all.front().size(), " numbers");
    flat.insert(flat.end(), row.begin(), row.end());
  }
  return flat;
}

Json rows_of(const sharding::ExpertCopies& copies) {
  Json rows = Json::array();
  for (int e = 0; e < copies.experts(); ++e) {
    std::vector<int> row;
    for (int d = 0; d < copies.devices(); ++d) row.push_back(copies.count(e, d));
    rows.push_back(row);
  }
  return rows;
}

void flexmoe(Json& test) {
  sharding::LayerCost cost = layer_cost(test);
  cost.reduce_bytes = input<double>(test, "gradient_bytes");
  const auto devices = cost.topology.node_of.size();
  size_t experts = 0, sources = 0;
  const std::vector<int> slots = table<int>(test, "copies", experts);
  HECATE_CHECK(experts > 0 && slots.size() == experts * devices, "'copies': ", slots.size(),
               " numbers for ", experts, " experts on ", devices, " devices");
  sharding::ExpertCopies present(static_cast<int>(experts), static_cast<int>(devices));
  for (size_t i = 0; i < slots.size(); ++i)
    present.add(static_cast<int>(i / devices), static_cast<int>(i % devices), slots[i]);
  present.placement();  // refuses experts that are nowhere
  const Numbers loads = table<double>(test, "load", sources);
  test["new_copies"] = rows_of(
      sharding::flexmoe(present, loads, cost, {.threshold = input<double>(test, "threshold")}));
}

void laer(Json& test) {
  size_t sources = 0;
  const std::vector<int64_t> counts = table<int64_t>(test, "load", sources);
  test["copies"] =
      rows_of(sharding::laer_layout(counts, input<int>(test, "slots"), layer_cost(test)).copies);
}

void balanced(Json& test) {
  const sharding::NodeMap nodes(input<std::vector<int>>(test, "node_of_device"));
  const auto owner = input<std::vector<int>>(test, "owner");
  std::vector<int64_t> counts;
  for (const auto& row : input<std::vector<std::vector<int64_t>>>(test, "load"))
    counts.insert(counts.end(), row.begin(), row.end());
  const auto rows = sharding::balanced::rows_by_node(counts, static_cast<int>(owner.size()), nodes);
  const auto link = [&](const char* key) {
    return collectives::Link{.bytes_per_s = input<double>(test, key), .latency_s = 0};
  };
  const auto t = input<int>(test, "t");
  sharding::LayerCost cost{.topology = {.node_of = {nodes.node_of().begin(), nodes.node_of().end()},
                                        .inside = link("bandwidth_inside"),
                                        .between = link("bandwidth_between")},
                           .seconds_per_row = input<double>(test, "seconds_per_row"),
                           .row_bytes = input<double>(test, "row_bytes"),
                           .gather_bytes = input<double>(test, "expert_bytes"),
                           .reduce_bytes = input<double>(test, "expert_bytes")};
  const auto model = sharding::balanced::model_hiding(
      std::move(cost), t, sharding::balanced::objective(input<std::string>(test, "objective")));
  const auto plan = sharding::balanced::plan_layer({.model = &model,
                                                    .nodes = &nodes,
                                                    .owner = owner,
                                                    .node_rows = rows,
                                                    .slots = input<int>(test, "m")},
                                                   t);
  Json& holders = test["holders"] = Json::array();
  for (int e = 0; e < plan.placement.experts(); ++e)
    holders.push_back(
        std::vector<int>(plan.placement.holders(e).begin(), plan.placement.holders(e).end()));
  test["rows"] = plan.rows;
  test["seconds"] = plan.time.total();
  test["bound_seconds"] = plan.bound.seconds;
}

using Planner = void (*)(Json&);
const std::vector<std::pair<std::string, Planner>>& planners() {
  static const std::vector<std::pair<std::string, Planner>> all = {{"algorithm1", algorithm1},
                                                                   {"algorithm2", algorithm2},
                                                                   {"smartmoe", smartmoe},
                                                                   {"fastermoe", fastermoe},
                                                                   {"eplb", eplb},
                                                                   {"flexmoe", flexmoe},
                                                                   {"laer", laer},
                                                                   {"balanced", balanced}};
  return all;
}

Planner planner_of(const std::string& kind, const std::string& source) {
  std::vector<std::string> names;
  std::string known;
  for (const auto& [name, planner] : planners()) {
    if (name == kind) return planner;
    names.push_back(name);
    known += (known.empty() ? "" : ", ") + name;
  }
  const std::string nearest = nearest_name(kind, names);
  throw InvalidArgument(concat(source, ": cases of kind '", kind, "' are unknown; known: ", known,
                               nearest.empty() ? "" : "; nearest: " + nearest));
}

void answer(Json& cases, const std::string& kind, const std::string& source) {
  const Planner planner = planner_of(kind, source);
  HECATE_CHECK(cases.is_array(), source, ": '", kind, "' is no array of cases");
  for (size_t i = 0; i < cases.size(); ++i) try {
      planner(cases[i]);
    } catch (const InvalidArgument& error) {
      throw InvalidArgument(concat(source, ": ", kind, "[", i, "]: ", error.what()));
    }
}

}  // namespace

std::string plan_cases(const std::string& text, const std::string& source) {
  Json kinds;
  try {
    kinds = Json::parse(text);
  } catch (const Json::exception& error) {
    throw InvalidArgument(concat(source, ": no JSON: ", error.what()));
  }
  HECATE_CHECK(kinds.is_object(), source, ": expected an object with arrays of cases");
  std::ostringstream out;
  out << "{";
  const char* before = "\n";
  for (auto& [kind, cases] : kinds.items()) {
    out << std::exchange(before, ",\n") << Json(kind).dump() << ": ";
    if (cases.is_string()) {
      out << cases.dump();
      continue;
    }
    answer(cases, kind, source);
    out << "[";
    const char* between = "\n";
    for (const Json& test : cases) out << std::exchange(between, ",\n") << test.dump();
    out << "\n]";
  }
  out << "\n}\n";
  return out.str();
}

}  // namespace hecate::launcher

#include "sharding/balanced/draft.h"

#include <algorithm>

namespace hecate::sharding::balanced {
namespace {

size_t at(int i) {
  return static_cast<size_t>(i);
}

}  // namespace

double exposed_seconds(const collectives::Topology& topology, int link, int port, double bytes,
                       double hidden) {
  if (link == 0 && port == 0) return 0;
  const double latency = link > 0 ? topology.between.latency_s : topology.inside.latency_s;
  return std::max(0.0, latency +
                           bytes * std::max(link / topology.between.bytes_per_s,
                                            port / topology.inside.bytes_per_s) -
                           hidden);
}

Draft::Draft(const Problem& problem)
    : problem_(&problem),
      placement_(collectives::Placement::from_owners(problem.owner, problem.nodes->devices())),
      free_(at(problem.nodes->devices()), problem.slots),
      link_(at(problem.nodes->nodes())),
      port_(free_.size()),
      on_node_(at(problem.nodes->nodes()) * problem.owner.size()) {
  for (int e = 0; e < problem.experts(); ++e)
    ++on_node_[index(problem.nodes->node(problem.owner[at(e)]), e)];
}

Draft::Draft(const Problem& problem, const collectives::Placement& placement) : Draft(problem) {
  for (int e = 0; e < placement.experts(); ++e)
    for (int d : placement.holders(e))
      if (d != problem.owner[at(e)]) add(e, d);
}

void Draft::add(int expert, int device) {
  const int node = problem_->nodes->node(device);
  int& here = on_node_[index(node, expert)];
  ++(here == 0 ? link_[at(node)] : port_[at(device)]);
  ++here;
  --free_[at(device)];
  placement_.add(expert, device);
}

void Draft::remove(int expert, int device) {
  collectives::Placement without(placement_.experts(), placement_.devices());
  for (int e = 0; e < placement_.experts(); ++e)
    for (int d : placement_.holders(e))
      if (e != expert || d != device) without.add(e, d);
  *this = Draft(*problem_, without);
}

LayerTime Draft::collectives_time() const {
  const Model& model = *problem_->model;
  const int link = *std::ranges::max_element(link_), port = *std::ranges::max_element(port_);
  return {.gather = exposed_seconds(model.cost.topology, link, port, model.cost.gather_bytes,
                                    model.hidden_gather_seconds),
          .reduce = exposed_seconds(model.cost.topology, link, port, model.cost.reduce_bytes,
                                    model.hidden_reduce_seconds)};
}

}  // namespace hecate::sharding::balanced

#include "collectives/mesh.h"

#include <algorithm>
#include <charconv>

#include "runtime/base/error.h"
#include "runtime/base/nearest_divisors.h"

namespace hecate::collectives {
namespace {

MeshShape filled(MeshShape shape, int ranks) {
  HECATE_CHECK(shape.dp >= 0 && shape.cp > 0 && shape.tp > 0 && shape.pp > 0, "mesh: dp ", shape.dp,
               ", cp ", shape.cp, ", tp ", shape.tp, ", pp ", shape.pp,
               ": expected at least 1 (dp: or 0 for what the others leave)");
  const int64_t others = int64_t{shape.cp} * shape.tp * shape.pp;
  if (ranks % others != 0) {
    const int wanted = static_cast<int>(std::min<int64_t>(others, ranks));
    throw InvalidArgument(
        concat("mesh: cp ", shape.cp, " x tp ", shape.tp, " x pp ", shape.pp, " = ", others,
               " does not divide ", ranks,
               " ranks; nearest valid product: ", nearest_divisors(ranks, wanted)));
  }
  const auto left = static_cast<int>(ranks / others);
  HECATE_CHECK(shape.dp == 0 || shape.dp == left, "mesh: dp ", shape.dp, " x cp ", shape.cp,
               " x tp ", shape.tp, " x pp ", shape.pp, " = ", shape.dp * others, ", but there are ",
               ranks, " ranks; nearest valid: dp ", left);
  shape.dp = left;
  return shape;
}

}  // namespace

DomainSpec parse_domain(std::string_view text) {
  if (text == "all") return {.kind = DomainSpec::Kind::all, .ranks = 0};
  if (text == "node") return {.kind = DomainSpec::Kind::node, .ranks = 0};
  int ranks = 0;
  const auto end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, ranks);
  HECATE_CHECK(error == std::errc() && stopped == end && ranks > 0, "domain '", text,
               "': expected all, node or a number of ranks");
  return {.kind = DomainSpec::Kind::ranks, .ranks = ranks};
}

std::string to_text(const DomainSpec& domain) {
  if (domain.kind == DomainSpec::Kind::ranks) return std::to_string(domain.ranks);
  return domain.kind == DomainSpec::Kind::all ? "all" : "node";
}

Mesh Mesh::make(std::span<const int> node_of, const MeshShape& shape, const DomainSpec& domain) {
  HECATE_CHECK(!node_of.empty(), "mesh: no ranks");
  Mesh mesh;
  mesh.shape_ = filled(shape, static_cast<int>(node_of.size()));
  mesh.domain_of_.resize(node_of.size());
  mesh.place_of_.resize(node_of.size());
  mesh.form_domains(node_of, domain);
  return mesh;
}

MeshPosition Mesh::position(int rank) const {
  HECATE_CHECK(rank >= 0 && rank < ranks(), "mesh: rank ", rank, " of ", ranks());
  MeshPosition position;
  position.tp = rank % shape_.tp;
  rank /= shape_.tp;
  position.cp = rank % shape_.cp;
  rank /= shape_.cp;
  position.dp = rank % shape_.dp;
  position.pp = rank / shape_.dp;
  return position;
}

int Mesh::rank_at(const MeshPosition& position) const {
  return ((position.pp * shape_.dp + position.dp) * shape_.cp + position.cp) * shape_.tp +
         position.tp;
}

void Mesh::form_domains(std::span<const int> node_of, const DomainSpec& domain) {
  if (domain.kind == DomainSpec::Kind::ranks)
    HECATE_CHECK(domain.ranks > 0 && shape_.dp % domain.ranks == 0, "mesh: domains of ",
                 domain.ranks, " do not divide dp ", shape_.dp,
                 "; nearest valid: ", nearest_divisors(shape_.dp, domain.ranks));
  const int size = domain.kind == DomainSpec::Kind::ranks ? domain.ranks : shape_.dp;
  for (int rank = 0; rank < ranks(); ++rank) {
    const int at = position(rank).dp;
    domain_of_[static_cast<size_t>(rank)] = at / size;
    place_of_[static_cast<size_t>(rank)] = at % size;
  }
  domain_size_ = size;
  if (domain.kind != DomainSpec::Kind::node) return;
  domain_size_ = 0;
  for (int rank = 0; rank < ranks(); ++rank)
    if (position(rank).dp == 0) form_node_domains(node_of, data_ranks(rank));
}

void Mesh::form_node_domains(std::span<const int> node_of, const std::vector<int>& data) {
  std::vector<int> nodes, sizes;
  for (int rank : data) {
    const int node = node_of[static_cast<size_t>(rank)];
    const auto at = std::find(nodes.begin(), nodes.end(), node) - nodes.begin();
    if (at == std::ssize(nodes)) nodes.push_back(node), sizes.push_back(0);
    domain_of_[static_cast<size_t>(rank)] = static_cast<int>(at);
    place_of_[static_cast<size_t>(rank)] = sizes[static_cast<size_t>(at)]++;
  }
  if (domain_size_ == 0) domain_size_ = sizes.front();
  for (int size : sizes)
    HECATE_CHECK(size == domain_size_,
                 "mesh: domain = node needs equally many ranks of a "
                 "data-parallel group on every node, got ",
                 domain_size_, " and ", size, "; nearest valid: all, or ",
                 nearest_divisors(shape_.dp, domain_size_), " consecutive ranks");
}

std::vector<int> Mesh::data_ranks(int rank) const {
  MeshPosition at = position(rank);
  std::vector<int> result;
  for (at.dp = 0; at.dp < shape_.dp; ++at.dp) result.push_back(rank_at(at));
  return result;
}

std::vector<int> Mesh::domain_ranks(int rank) const {
  std::vector<int> result(static_cast<size_t>(domain_size_));
  for (int other : data_ranks(rank))
    if (domain_of(other) == domain_of(rank)) result[static_cast<size_t>(place_of(other))] = other;
  return result;
}

std::vector<int> Mesh::replica_ranks(int rank) const {
  std::vector<int> result(static_cast<size_t>(domains()));
  for (int other : data_ranks(rank))
    if (place_of(other) == place_of(rank)) result[static_cast<size_t>(domain_of(other))] = other;
  return result;
}

}  // namespace hecate::collectives

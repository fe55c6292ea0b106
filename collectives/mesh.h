#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// How ranks are arranged: a mesh with named axes, and inside its data-parallel axis the domains in
/// which FSSDP places experts. Pure: no communication (world.h has the communicators).
namespace hecate::collectives {

/// Ranks along each axis. The product is the number of ranks.
struct MeshShape {
  int dp = 0;  ///< data parallel; 0: what the others leave
  int cp = 1;  ///< context parallel
  int tp = 1;  ///< tensor parallel
  int pp = 1;  ///< pipeline parallel
};

/// Where a rank is in the mesh. Rank numbers run through tp first, then cp, dp and pp, so that the
/// axes that talk most lie closest together.
struct MeshPosition {
  int dp = 0, cp = 0, tp = 0, pp = 0;
  bool operator==(const MeshPosition&) const = default;
};

/// Which ranks of a data-parallel group form an FSSDP domain. Replicas of a domain hold the same
/// placement; a domain's ranks and their counterparts shard the owners' state further.
struct DomainSpec {
  enum class Kind : uint8_t {
    all,   ///< all of them
    node,  ///< those of one node
    ranks  ///< `ranks` consecutive ones
  };
  Kind kind = Kind::all;
  int ranks = 0;
};
/// "all", "node" or a number. @throws InvalidArgument for anything else.
DomainSpec parse_domain(std::string_view text);
std::string to_text(const DomainSpec& domain);

/// Every rank's place. Equal on all ranks that made it from equal arguments.
class Mesh {
 public:
  Mesh() = default;
  /// @param node_of node of every rank, any numbers.
  /// @throws InvalidArgument, with the nearest valid numbers, when the axes do not multiply out to
  ///   the number of ranks or domains would differ in size.
  static Mesh make(std::span<const int> node_of, const MeshShape& shape = {},
                   const DomainSpec& domain = {});

  int ranks() const { return static_cast<int>(domain_of_.size()); }
  /// With dp filled in.
  const MeshShape& shape() const { return shape_; }
  MeshPosition position(int rank) const;
  int rank_at(const MeshPosition& position) const;

  /// Of one data-parallel group.
  int domains() const { return domain_size_ == 0 ? 0 : shape_.dp / domain_size_; }
  int domain_size() const { return domain_size_; }
  /// Number of a rank's domain in its data-parallel group, and the rank's place in it.
  int domain_of(int rank) const { return domain_of_[static_cast<size_t>(rank)]; }
  int place_of(int rank) const { return place_of_[static_cast<size_t>(rank)]; }

  /// The ranks that differ from `rank` in dp alone (itself among them), rising.
  std::vector<int> data_ranks(int rank) const;
  /// Those in its domain, by place.
  std::vector<int> domain_ranks(int rank) const;
  /// Those at its place, one of each domain, by domain.
  std::vector<int> replica_ranks(int rank) const;

 private:
  void form_domains(std::span<const int> node_of, const DomainSpec& domain);
  void form_node_domains(std::span<const int> node_of, const std::vector<int>& data);

  MeshShape shape_;
  int domain_size_ = 0;
  std::vector<int> domain_of_, place_of_;  // per rank
};

}  // namespace hecate::collectives

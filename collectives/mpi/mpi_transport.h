#pragma once
#include <mpi.h>

#include <vector>

#include "collectives/engine/transport.h"

namespace hecate::collectives::mpi {

/// Point-to-point messages of the world communicator. Used by the communication thread alone.
class MpiTransport final : public Transport {
 public:
  /// @param ranks_per_node 0: ranks that can share memory form a node.
  explicit MpiTransport(int ranks_per_node);
  ~MpiTransport() override = default;
  const char* name() const override { return "mpi"; }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::span<const int> nodes() const override { return nodes_; }
  void send(int peer, MessageKey key, const void* data, int64_t bytes, bool bulk,
            Ticket ticket) override;
  void receive(int peer, MessageKey key, void* data, int64_t bytes, Ticket ticket) override;
  void poll(std::vector<Completion>& completions) override;
  void cancel(uint64_t operation) override;
  MPI_Comm communicator() const { return communicator_; }

 private:
  struct Entry {
    Ticket ticket;
    int bytes = 0;
    bool received = false;
  };

  void find_nodes(int ranks_per_node);
  void add(const Entry& entry, MPI_Request request, int status);
  std::string problem(const Entry& entry, const MPI_Status& status, int result) const;

  MPI_Comm communicator_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  std::vector<int> nodes_;
  std::vector<MPI_Request> requests_;  // parallel to entries_
  std::vector<Entry> entries_;
  std::vector<Completion> failed_;  // could not even be posted
  std::vector<int> indices_;
  std::vector<MPI_Status> statuses_;
};

/// @throws CommError with the library's message unless `status` is success.
void check_mpi(int status, const char* call);

}  // namespace hecate::collectives::mpi

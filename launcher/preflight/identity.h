#pragma once
#include <span>
#include <string>

/// Whether all ranks were started alike. Pure: the texts of all ranks are given.
namespace hecate::launcher {

/// The first key whose value differs between ranks, as "train.steps = 100 on ranks 0-2, 200 on rank
/// 3"; empty if there is none. @param configs per rank, as config::print writes them: a key a line;
/// comments and blank lines do not count.
std::string config_difference(std::span<const std::string> configs);

/// The same for what identifies the build, "name: value" lines.
std::string build_difference(std::span<const std::string> builds);

/// "rank 3", "ranks 0-2, 5". @param ranks rising, at least one.
std::string rank_list(std::span<const int> ranks);

}  // namespace hecate::launcher

#pragma once
#include <string>

namespace hecate::launcher {

/// Works out placement cases. The text is a JSON object of kinds, each an array of cases; results
/// that a case has already are replaced, other keys and strings beside the kinds are kept.
/// - `algorithm1`: node_of_device, owner, load, t, m -> holders (per expert, rising).
/// - `algorithm2`: node_of_device, load [layers, experts], t -> owner_of_remaining [layers,
/// experts]
///   (-1 for the t most loaded), free_slots_after (per device).
/// - `smartmoe`: devices, slots, owner, load -> new_owner, adopted.
/// - `fastermoe`: load, H, alpha, bytes, bandwidth, flops -> shadowed.
/// - `eplb`: load [layers, experts], replicas, groups, nodes, devices -> physical_to_logical,
///   replica_count, both per layer.
/// - `flexmoe`: node_of_device, copies [experts, devices] (slots), load [devices, experts],
///   threshold, seconds_per_token, token_bytes, gradient_bytes, inside and between (bytes per
///   second) -> new_copies.
/// - `laer`: node_of_device, load [devices, experts], slots, seconds_per_token, token_bytes,
/// inside,
///   between -> copies [experts, devices].
/// - `balanced`: node_of_device, owner, load [devices, experts], t, m, objective (time or balance),
///   seconds_per_row, row_bytes, expert_bytes, bandwidth_inside, bandwidth_between -> holders, rows
///   (of the busiest device), seconds, bound_seconds.
/// @param source names the text in errors. @return JSON, one case per line.
/// @throws InvalidArgument for text that is no JSON, another kind (listing these), or a case that
///   lacks an input or has an impossible one: kind, number and key are named.
std::string plan_cases(const std::string& text, const std::string& source);

}  // namespace hecate::launcher

#include <nlohmann/json.hpp>

#include "launcher/bench/machine.h"
#include "launcher/suite/cell.h"
#include "launcher/version.h"
#include "runtime/base/error.h"

namespace hecate::launcher::suite {

std::string to_json(const CellResult& result) {
  const Cell& cell = result.cell;
  return nlohmann::ordered_json{{"group", cell.group},
                                {"strategy", cell.strategy},
                                {"planner", cell.planner},
                                {"cluster", cell.cluster},
                                {"model", cell.model},
                                {"loads", cell.loads},
                                {"devices", cell.devices},
                                {"variant", cell.variant},
                                {"load_text", cell.load_name()},
                                {"settings", cell.settings},
                                {"warmup", cell.warmup},
                                {"steps", cell.steps},
                                {"devices_per_node", cell.devices_per_node},
                                {"error", result.error},
                                {"step_seconds", result.step_seconds},
                                {"moved_seconds", result.moved_seconds},
                                {"layer_seconds", result.layer_seconds},
                                {"bound_seconds", result.bound_seconds},
                                {"imbalance", result.imbalance},
                                {"memory_gib", result.memory_gib},
                                {"tokens", result.tokens},
                                {"fits", result.fits},
                                {"layers", result.layers},
                                {"critical_seconds", result.critical},
                                {"link_bytes", result.link_bytes},
                                {"memory_bytes", result.memory},
                                {"spent_seconds", result.spent_seconds},
                                {"commit", commit()},
                                {"cpu", cpu_name()}}
      .dump();
}

CellResult result_from_json(const std::string& line) {
  try {
    const auto json = nlohmann::json::parse(line);
    CellResult result;
    Cell& cell = result.cell;
    json.at("group").get_to(cell.group);
    json.at("strategy").get_to(cell.strategy);
    json.at("planner").get_to(cell.planner);
    json.at("cluster").get_to(cell.cluster);
    json.at("model").get_to(cell.model);
    json.at("loads").get_to(cell.loads);
    json.at("devices").get_to(cell.devices);
    json.at("variant").get_to(cell.variant);
    json.at("load_text").get_to(cell.load_text);
    json.at("settings").get_to(cell.settings);
    json.at("warmup").get_to(cell.warmup);
    json.at("steps").get_to(cell.steps);
    json.at("devices_per_node").get_to(cell.devices_per_node);
    json.at("error").get_to(result.error);
    json.at("step_seconds").get_to(result.step_seconds);
    json.at("moved_seconds").get_to(result.moved_seconds);
    json.at("layer_seconds").get_to(result.layer_seconds);
    json.at("bound_seconds").get_to(result.bound_seconds);
    json.at("imbalance").get_to(result.imbalance);
    json.at("memory_gib").get_to(result.memory_gib);
    json.at("tokens").get_to(result.tokens);
    json.at("fits").get_to(result.fits);
    json.at("layers").get_to(result.layers);
    json.at("critical_seconds").get_to(result.critical);
    json.at("link_bytes").get_to(result.link_bytes);
    json.at("memory_bytes").get_to(result.memory);
    json.at("spent_seconds").get_to(result.spent_seconds);
    return result;
  } catch (const nlohmann::json::exception& error) {
    throw InvalidArgument(concat("suite results: ", error.what()));
  }
}

}  // namespace hecate::launcher::suite

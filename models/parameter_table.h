#pragma once
#include <string>

#include "models/optimizer.h"
#include "models/parameters.h"

namespace hecate::models {

/// Every parameter of the model on a line, in the layout's order, under a line of column names and
/// after comment lines (#) that say what the columns mean and what multiplies other things than
/// parameters. Columns: name, shape, kind, initial standard deviation or value, factor on the
/// schedule's rate, factor in the forward pass, weight decay per unit of the schedule's rate. A
/// parameter that no gradient moves has "-" for the last three.
/// @throws InvalidArgument if the configuration is impossible.
std::string parameter_table(const ModelConfig& model, const OptimizerConfig& optimizer);

}  // namespace hecate::models

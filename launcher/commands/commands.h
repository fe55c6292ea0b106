#pragma once
#include "launcher/cli/command_line.h"

/// One function per file of this folder; each adds its command to the program.
namespace hecate::launcher {

void add_config_command(Command root);
void add_data_command(Command root);
void add_train_command(Command root);
void add_eval_command(Command root);
void add_generate_command(Command root);
void add_bench_command(Command root);
void add_bench_collectives_command(Command bench);
void add_bench_plan_command(Command bench);
void add_bench_suite_commands(Command bench);
void add_bench_coordinates_command(Command bench);
void add_plan_command(Command root);
void add_schedule_command(Command root);
void add_simulate_command(Command root);
void add_flight_command(Command root);
void add_launch_command(Command root);
void add_report_command(Command root);
void add_top_command(Command root);
void add_pbt_command(Command root);
void add_convert_command(Command root);

/// All of them.
void add_commands(Command root);

}  // namespace hecate::launcher

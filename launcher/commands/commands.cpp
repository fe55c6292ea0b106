#include "launcher/commands/commands.h"

namespace hecate::launcher {

void add_commands(Command root) {
  add_train_command(root);
  add_eval_command(root);
  add_generate_command(root);
  add_convert_command(root);
  add_data_command(root);
  add_config_command(root);
  add_bench_command(root);
  add_plan_command(root);
  add_schedule_command(root);
  add_simulate_command(root);
  add_pbt_command(root);
  add_flight_command(root);
  add_launch_command(root);
  add_report_command(root);
  add_top_command(root);
}

}  // namespace hecate::launcher

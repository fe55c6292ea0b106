#include <cstdlib>
#include <iostream>

#include "benchmarks/schedules/river_valley.h"
#include "launcher/schedule/curves.h"
#include "runtime/io/file.h"

/// hecate_river_valley [SEEDS [FILE.svg]]: the table of arXiv 2410.05192's idea on the toy, and a
/// picture of both components of the loss over the run.
namespace hecate::benchmarks {
namespace {

constexpr int64_t kSteps = 2000, kEvery = 20;

launcher::Chart chart_of(const std::vector<Course>& courses, const std::vector<int64_t>& steps,
                         const std::vector<std::vector<ExcessLoss>>& losses) {
  launcher::Chart chart{.title = "River valley: excess loss of certain and uncertain states, nats",
                        .x_label = "step",
                        .y_label = "loss",
                        .curves = {},
                        .log_y = true};
  for (size_t c = 0; c < 4; ++c) {
    const int colour = static_cast<int>(c);
    launcher::Curve river{
        .name = courses[c].name + ", certain", .points = {}, .colour = colour, .dashed = true};
    launcher::Curve valley{.name = courses[c].name + ", uncertain", .points = {}, .colour = colour};
    for (size_t i = 0; i < steps.size(); ++i) {
      const auto step = static_cast<double>(steps[i]);
      river.points.emplace_back(step, losses[c][i].deterministic);
      valley.points.emplace_back(step, losses[c][i].uncertain);
    }
    chart.curves.push_back(std::move(river));
    chart.curves.push_back(std::move(valley));
  }
  return chart;
}

int run(int64_t seeds, const std::string& picture) {
  const std::vector<Course> courses = published_courses();
  std::vector<int64_t> steps;
  for (int64_t step = kEvery; step <= kSteps; ++step)
    if (step % kEvery == 0 || step == 950 || step == 1855) steps.push_back(step);
  const auto losses = train_river_valley(courses, steps, seeds);
  std::cout << "course\tstep\tcertain\tuncertain\tmean\n";
  for (size_t c = 0; c < courses.size(); ++c)
    for (size_t i = 0; i < steps.size(); ++i) {
      const auto length = std::ssize(courses[c].rates);
      const bool inner = length == kSteps && (steps[i] == 500 || steps[i] == 1000);
      if (steps[i] == length || inner)
        std::cout << courses[c].name << '\t' << steps[i] << '\t' << losses[c][i].deterministic
                  << '\t' << losses[c][i].uncertain << '\t' << losses[c][i].mean() << '\n';
    }
  if (!picture.empty()) io::write_file(picture, launcher::to_svg(chart_of(courses, steps, losses)));
  return 0;
}

}  // namespace
}  // namespace hecate::benchmarks

int main(int count, char** arguments) {
  try {
    return hecate::benchmarks::run(count > 1 ? std::atoll(arguments[1]) : 2000,
                                   count > 2 ? arguments[2] : "");
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}

#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/schedule.h"

/// A toy whose loss has a river and a valley (after arXiv 2410.05192): a table of bi-gram logits,
/// zero at first, trained by SGD on batches of 8 transitions from uniformly drawn states. Of 20
/// states half have one certain next token of 10, so their loss falls along a direction without end
/// (the river); the others draw it with probabilities proportional to Gamma(1) + 0.05, so noise
/// keeps their logits off the optimum by as much as the rate is high (the valley).
namespace hecate::benchmarks {

/// Kullback-Leibler divergence from the true next-token distribution, nats, mean over states.
struct ExcessLoss {
  double deterministic = 0, uncertain = 0;
  double mean() const { return (deterministic + uncertain) / 2; }
};

/// One course of training: the rate of every update.
struct Course {
  std::string name;
  std::vector<double> rates;
};

/// The schedule's rates for the updates of a run.
Course course_of(const std::string& name, const scheduler::Schedule& schedule, int64_t steps);

/// Loss after the updates named, averaged over `seeds` worlds of states, targets and batches that
/// all courses share. @param steps rising. @return [course][i] of steps[i]; zero past a course's
/// end.
std::vector<std::vector<ExcessLoss>> train_river_valley(const std::vector<Course>& courses,
                                                        const std::vector<int64_t>& steps,
                                                        int64_t seeds);

/// Every course that the published table compares, at a peak of 1 with inverse decays to 0.1:
/// constant, wsd over 2000 steps, wsd_s and cyclic_cosine with end points 500, 1000 and 2000, and
/// WSD releases of one main branch whose cost, decays of earlier releases included, is as large:
/// 500, 950 and 1855 steps.
std::vector<Course> published_courses();

}  // namespace hecate::benchmarks

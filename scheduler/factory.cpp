#include "scheduler/factory.h"

#include "scheduler/cycles.h"
#include "scheduler/names.h"
#include "scheduler/plain.h"
#include "scheduler/power.h"
#include "scheduler/wsd.h"

namespace hecate::scheduler {
namespace {

using Made = std::unique_ptr<Schedule>;
using Maker = Made (*)(const ScheduleParameters&);

template <class T>
Made make(const ScheduleParameters& parameters) {
  return std::make_unique<T>(parameters);
}

struct Entry {
  const char* kind;
  Maker maker;
};
constexpr Entry kEntries[] = {
    {"constant", make<Constant>},
    {"linear", make<Linear>},
    {"cosine", make<Cosine>},
    {"inverse_sqrt", make<InverseSqrt>},
    {"cyclic_cosine", make<CyclicCosine>},
    {"wsd", make<Wsd>},
    {"wsdc", make<Wsd>},
    {"wsd_s", make<WsdS>},
    {"power", make<Power>},
};

}  // namespace

const std::vector<std::string>& schedule_kinds() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> names;
    for (const Entry& entry : kEntries) names.emplace_back(entry.kind);
    return names;
  }();
  return all;
}

std::unique_ptr<Schedule> make_schedule(const std::string& kind,
                                        const ScheduleParameters& parameters) {
  return kEntries[index_of("schedule.kind", kind, schedule_kinds())].maker(parameters);
}

}  // namespace hecate::scheduler

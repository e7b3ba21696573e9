// How samples are asked for, and the weights of what each step evaluates.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "genzoo/conditions.hpp"
#include "genzoo/table.hpp"

namespace genzoo {

struct SampleOptions : Options {
  std::string table;               // such as "ddim-20"; empty for the model's default
  std::optional<double> guidance;  // weight of classifier-free guidance, instead of the table's
  Values negative;                 // what to guide away from, by part, or {"condition", a class}: else the nulls
  std::vector<Composed> compose;   // conditions with weights, instead of one and `guidance`:
                                   // F_other + sum of w (F_condition - F_other)
  bool fused = false;              // run the graph that contains the whole sampler
};

/// The weight of what is guided away from: 1 minus all others.
inline double left(double w, const std::vector<double>& further) {
  long double sum = w;
  for (const double each : further) sum += each;
  return static_cast<double>(1 - sum);
}

/// The weights of a composition but for the first, which is the guidance of rows.
inline std::vector<double> further_of(const SampleOptions& options) {
  std::vector<double> further;
  for (std::size_t i = 1; i < options.compose.size(); ++i) further.push_back(options.compose[i].weight);
  return further;
}

/// Whether anything is guided away from, in any row.
inline bool guided_by(const StepTable& table, const std::vector<double>& further) {
  for (std::size_t row = 0; row < table.rows; ++row)
    if (left(table.at("guidance", row), further) != 0) return true;
  return false;
}

}  // namespace genzoo

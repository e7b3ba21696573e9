// How samples are asked for, and the weights of what each step evaluates.
#pragma once

#include <cmath>
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
  std::optional<float> temperature;  // what normals of a model of one call are multiplied by, instead of the bundle's
  Values negative;                 // what to guide away from, by part, or {"condition", a class}: else the nulls
  std::vector<Composed> compose;   // conditions with weights, instead of one and `guidance`:
                                   // F_other + sum of w (F_condition - F_other)
  bool fused = false;              // run the graph that contains the whole sampler
};

/// A program, unless it has no temperature, and one is asked for.
inline const Program& tempering(const Program& program, const SampleOptions& options) {
  if (!options.temperature) return program;
  bool normals = program.kind == "direct";
  for (const NoiseInput& each : program.noises) normals = normals && each.distribution == "normal";
  if (!normals || !(*options.temperature >= 0) || !std::isfinite(*options.temperature))
    throw Error("a temperature is a number, 0 or more, of a model that samples normals in one call");
  return program;
}

/// Noises, multiplied by the temperature that is asked for, or the program's own.
inline std::vector<float>& tempered(std::vector<float>& z, const Program& program, const SampleOptions& options) {
  const float scale = options.temperature.value_or(program.temperature);
  if (scale != 1)
    for (float& each : z) each *= scale;
  return z;
}

/// The weight of what is guided away from: 1 minus the sum of all others, rounded once: 0.7, 0.2 and 0.1 leave 0.
inline double left(double w, const std::vector<double>& further) {
  double sum = w, lost = 0;  // as Neumaier adds
  for (const double each : further) {
    const double next = sum + each;
    lost += std::fabs(sum) >= std::fabs(each) ? (sum - next) + each : (each - next) + sum;
    sum = next;
  }
  return 1 - (sum + lost);
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

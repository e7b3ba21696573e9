// What samples are conditioned on, as users state it and as graphs take it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "genzoo/error.hpp"
#include "genzoo/manifest.hpp"
#include "genzoo/parts.hpp"

namespace genzoo {

struct Options {
  std::uint64_t seed = 0;
  std::vector<std::string> classes;  // numbers or labels: one for all, or one for each; empty: every class in turn
  std::vector<float> vector;         // the condition's numbers: one vector for all, or one for each in turn
  Values condition;                  // values of named parts, by their names
  std::size_t batch = 0;             // samples in one call of a graph; 0 chooses by the memory that a call takes
};

/// A condition of a composition, as options state it, and its weight.
struct Composed {
  Options condition;
  double weight = 1;
};

/// A class for each of n samples; empty for a model without classes.
inline std::vector<std::int32_t> classes_of(const std::optional<Conditioning>& condition, const Options& options,
                                            std::size_t n) {
  if (!condition || condition->vector || !condition->parts.empty()) {
    if (!options.classes.empty()) throw Error("the model takes no class");
    return {};
  }
  std::vector<std::int32_t> found(n), known;
  for (const std::string& asked : options.classes)
    known.push_back(detail::class_number(condition->labels, condition->size, asked));
  if (known.size() > 1 && known.size() != n)
    throw Error(std::to_string(n) + " samples need one class or as many, not " + std::to_string(known.size()));
  for (std::size_t i = 0; i < n; ++i)
    found[i] = known.empty() ? static_cast<std::int32_t>(i % condition->size) : known[known.size() > 1 ? i : 0];
  return found;
}

/// The numbers of a vector for each of n samples, or for all; empty for a model without vectors.
inline std::vector<float> vectors_of(const std::optional<Conditioning>& condition, const Options& options,
                                     std::size_t n) {
  if (!condition || !condition->vector) {
    if (!options.vector.empty()) throw Error("the model takes no vector");
    return {};
  }
  const std::size_t size = condition->size, given = options.vector.size();
  if (given != size && (given != n * size))
    throw Error("the model needs a condition of " + std::to_string(size) +
                " numbers, for all samples or for each, not " + std::to_string(given));
  for (const float value : options.vector)
    if (!std::isfinite(value)) throw Error("the condition has numbers that are not finite");
  return options.vector;
}

/// The condition of n samples, and what they are guided away from if they are: none, one or two. Throws Error.
/// `negative` is of named parts, or has the class as "condition"; without it, `guided` takes the nulls.
inline std::vector<Conditions> conditions_of(const std::optional<Conditioning>& condition, const Options& options,
                                             std::size_t n, const Values& negative = {}, bool guided = false,
                                             std::optional<std::int32_t> null_class = std::nullopt) {
  const std::vector<float> vectors = vectors_of(condition, options, n);
  const std::vector<std::int32_t> classes = classes_of(condition, options, n);
  if (!condition || condition->parts.empty()) {
    if (!options.condition.empty()) throw Error("the model has no named parts");
  }
  if (!condition) return {};
  if (!condition->parts.empty()) return conditions_of(condition->parts, {&options.condition}, negative, guided, n);
  Rows rows{{}, vectors, !condition->vector, n};
  if (condition->vector) {
    rows.shape = {static_cast<std::int64_t>(condition->size)};
    rows.rows = vectors.size() / condition->size;
  }
  for (const std::int32_t number : classes) rows.values.push_back(static_cast<float>(number));
  std::vector<Conditions> found{detail::distinct({{"condition", rows}}, n)};
  if (!negative.empty()) {
    Part only;
    only.name = "condition";
    only.modality = condition->vector ? "numbers" : "classes";
    only.shape = rows.shape;
    only.size = condition->size;
    only.labels = condition->labels;
    found.push_back(conditions_of({only}, {&negative}, {}, false, n).front());
  } else if (guided) {
    if (!null_class) throw Error("guidance needs a model with a null class, which this one does not have");
    found.push_back(detail::distinct({{"condition", {{}, {static_cast<float>(*null_class)}, true, 1}}}, n));
  }
  return found;
}

/// The conditions of a composition, and at the end what they are guided away from if they are. Throws Error.
inline std::vector<Conditions> conditions_of(const std::optional<Conditioning>& condition,
                                             const std::vector<Composed>& composed, std::size_t n,
                                             const Values& negative, bool guided,
                                             std::optional<std::int32_t> null_class) {
  if (!condition) throw Error("compose needs a model that is conditioned, which this one is not");
  if (!condition->parts.empty()) {
    std::vector<const Values*> values;
    for (const Composed& each : composed) values.push_back(&each.condition.condition);
    return conditions_of(condition->parts, values, negative, guided, n);
  }
  std::vector<Conditions> found;
  for (const Composed& each : composed) found.push_back(conditions_of(condition, each.condition, n).front());
  if (guided || !negative.empty())
    found.push_back(conditions_of(condition, composed[0].condition, n, negative, guided, null_class).at(1));
  return found;
}

}  // namespace genzoo

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

namespace genzoo {

struct Options {
  std::uint64_t seed = 0;
  std::vector<std::string> classes;  // numbers or labels: one for all, or one for each; empty: every class in turn
  std::vector<float> vector;         // the condition's numbers: one vector for all, or one for each in turn
  std::size_t batch = 0;             // samples in one call of a graph; 0 chooses by the memory that a call takes
};

/// The number that a class's label or number stands for. Throws Error.
inline std::int32_t class_number(const Conditioning& c, const std::string& asked) {
  const auto label = std::find(c.labels.begin(), c.labels.end(), asked);
  if (label != c.labels.end()) return static_cast<std::int32_t>(label - c.labels.begin());
  const bool digits = !asked.empty() && asked.size() < 10 && asked.find_first_not_of("0123456789") == std::string::npos;
  if (digits && std::stoul(asked) < c.size) return static_cast<std::int32_t>(std::stoul(asked));
  throw Error("there is no class " + asked + "; classes are 0 to " + std::to_string(c.size - 1) + ", or their labels");
}

/// A class for each of n samples; empty for a model without classes.
inline std::vector<std::int32_t> classes_of(const std::optional<Conditioning>& condition, const Options& options,
                                            std::size_t n) {
  if (!condition || condition->vector) {
    if (!options.classes.empty()) throw Error("the model takes no class");
    return {};
  }
  std::vector<std::int32_t> found(n), known;
  for (const std::string& asked : options.classes) known.push_back(class_number(*condition, asked));
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

}  // namespace genzoo

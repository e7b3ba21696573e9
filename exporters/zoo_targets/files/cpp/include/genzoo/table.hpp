// A step table: a sampler at run time, one row for each evaluation of the network.
#pragma once

#include <cstddef>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "genzoo/error.hpp"
#include "genzoo/safetensors.hpp"
#include "genzoo/shape.hpp"

namespace genzoo {

struct StepTable {
  std::size_t rows = 0, slots = 0;                   // slots: x and its history
  std::size_t columns = 0;                           // slots + 1 for D, or + 2 for D unclipped too
  std::map<std::string, std::vector<double>> rowed;  // column -> a number for each row
  std::vector<double> matrix;                        // [rows, slots, columns]
  double initial_scale = 0;

  double at(const std::string& column, std::size_t row) const { return rowed.at(column)[row]; }

  /// Refuses a matrix that a step graph does not take: only some do with a column for D before it is clipped.
  void check_columns(const std::string& graph, bool unclipped) const {
    if (columns > slots + 1 && !unclipped)
      throw Error("graph " + graph + " takes no matrix of " + std::to_string(columns) + " columns for " +
                  std::to_string(slots) + " slots");
  }
};

/// The columns that are fed unchanged, by the names of the graph's inputs.
inline const std::vector<std::string>& row_inputs() {
  static const std::vector<std::string> names{"time",        "alpha",   "sigma",      "clip",
                                              "noise_scale", "rescale", "noise_range"};
  return names;
}

/// The table of a name such as "ddim-50" among the columns of tables.safetensors. Throws Error.
inline StepTable step_table(const std::map<std::string, Column>& columns, const std::string& name) {
  std::set<std::string> known;
  for (const auto& [key, column] : columns) known.insert(key.substr(0, key.find('/')));
  if (known.count(name) == 0) {
    std::string list;
    for (const std::string& one : known) list += (list.empty() ? "" : ", ") + one;
    throw Error("there is no table " + name + "; there " + (list.empty() ? "are none" : "are " + list));
  }
  const auto find = [&](const std::string& column) -> const Column* {
    const auto found = columns.find(name + "/" + column);
    return found == columns.end() ? nullptr : &found->second;
  };
  const Column *time = find("time"), *matrix = find("matrix"), *initial = find("initial_scale");
  if (time == nullptr || matrix == nullptr || initial == nullptr || time->shape.size() != 1 || time->values.empty() ||
      matrix->shape.size() != 3 || matrix->shape[0] != time->shape[0] || matrix->shape[1] < 1 ||
      matrix->shape[2] <= matrix->shape[1] || matrix->shape[2] > matrix->shape[1] + 2 || !initial->shape.empty())
    throw Error("the table " + name + " is not whole");
  StepTable table;
  table.rows = time->values.size();
  table.slots = static_cast<std::size_t>(matrix->shape[1]);
  table.columns = static_cast<std::size_t>(matrix->shape[2]);
  table.matrix = matrix->values;
  table.initial_scale = initial->values[0];
  std::vector<std::string> names = row_inputs();
  names.push_back("guidance");
  for (const std::string& column : names) {
    const double otherwise = column == "guidance" ? 1 : column == "clip" ? std::numeric_limits<float>::max() : 0;
    const Column* found = find(column);
    if (found != nullptr && found->shape != time->shape) throw Error("the table " + name + " is not whole");
    table.rowed[column] = found ? found->values : std::vector<double>(table.rows, otherwise);
  }
  return table;
}

}  // namespace genzoo

// The float64 tensors of a safetensors file: a length in 8 bytes, a header in JSON, and the numbers.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "genzoo/files.hpp"
#include "genzoo/json.hpp"
#include "genzoo/shape.hpp"

namespace genzoo {

struct Column {
  Shape shape;
  std::vector<double> values;
};

namespace detail {

inline std::uint64_t little_endian(const char* bytes) {
  std::uint64_t word = 0;
  for (int i = 7; i >= 0; --i) word = word << 8 | static_cast<unsigned char>(bytes[i]);
  return word;
}

inline Column column(const json::Value& entry, const std::string& content, std::uint64_t start) {
  if (entry.at("dtype").text() != "F64") throw Error("it has numbers that are not float64");
  Column found;
  found.shape = shape_of(entry.at("shape"));
  const auto& ends = entry.at("data_offsets").items();
  const std::uint64_t room = content.size() - start, size = count(found.shape);
  if (ends.size() != 2) throw Error("a tensor in it has no place");
  const std::uint64_t first = ends[0].whole(), last = ends[1].whole();
  if (first > last || last > room || last - first != size * 8) throw Error("a tensor in it is not where it should be");
  found.values.resize(size);
  for (std::uint64_t i = 0; i < size; ++i) {
    const std::uint64_t word = little_endian(content.data() + start + first + 8 * i);
    static_assert(sizeof(double) == sizeof(word));
    std::memcpy(&found.values[i], &word, sizeof(word));
    if (!std::isfinite(found.values[i])) throw Error("it has numbers that are not finite");
  }
  return found;
}

}  // namespace detail

/// The tensors of a file of at most 64 MiB, by name. Throws Error.
inline std::map<std::string, Column> read_columns(const std::filesystem::path& path) {
  const std::string content = read(path, 64 << 20);
  std::map<std::string, Column> found;
  try {
    if (content.size() < 8) throw Error("it is cut off");
    const std::uint64_t length = detail::little_endian(content.data());
    if (length > content.size() - 8) throw Error("it is cut off");
    const json::Value header = json::parse(std::string_view(content).substr(8, length));
    for (const auto& [name, entry] : header.fields())
      if (name != "__metadata__") found[name] = detail::column(entry, content, 8 + length);
  } catch (const Error& error) {
    throw Error(path.string() + " is not a whole safetensors file: " + error.what());
  }
  return found;
}

}  // namespace genzoo

// Shapes, and how many numbers they hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "genzoo/error.hpp"

namespace genzoo {

using Shape = std::vector<std::int64_t>;

/// The number of elements of a shape. Throws Error if it is impossible.
inline std::size_t count(const Shape& shape) {
  std::uint64_t product = 1;
  for (const std::int64_t size : shape) {
    if (size < 0) throw Error("a shape has a negative size");
    const auto factor = static_cast<std::uint64_t>(size);
    if (factor != 0 && product > std::numeric_limits<std::uint32_t>::max() * std::uint64_t{64} / factor)
      throw Error("a shape holds more numbers than fit into memory");
    product *= factor;
  }
  return static_cast<std::size_t>(product);
}

/// "[4, 1, 28, 28]"
inline std::string text(const Shape& shape) {
  std::string found = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) found += (i ? ", " : "") + std::to_string(shape[i]);
  return found + "]";
}

/// [n, *event]
inline Shape with(std::int64_t n, const Shape& event) {
  Shape whole{n};
  whole.insert(whole.end(), event.begin(), event.end());
  return whole;
}

}  // namespace genzoo

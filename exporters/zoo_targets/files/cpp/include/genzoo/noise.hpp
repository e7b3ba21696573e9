// The specified random numbers (docs/bundle-format.md of genzoo, "Noise"): Philox4x32-10 of Salmon et al. 2011, then
// the transform of Box and Muller 1958.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "genzoo/error.hpp"

namespace genzoo::noise {

/// The purpose of a random number; the last word of the counter.
enum Stream : std::uint32_t { initial = 0, step = 1, dequantize = 3 };

using Block = std::array<std::uint32_t, 4>;

/// Counter 0 and key 0 give 6627e8d5 e169c58d bc57ac4c 9b00dbd8.
inline Block philox4x32(Block c, std::uint64_t key) {
  auto low = static_cast<std::uint32_t>(key), high = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * c[0], b = std::uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ low, static_cast<std::uint32_t>(b),
         static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ high, static_cast<std::uint32_t>(a)};
    low += 0x9E3779B9;
    high += 0xBB67AE85;
  }
  return c;
}

/// The uniform in (0, 1) of a word; exact in float32.
inline double unit(std::uint32_t word) { return ((word >> 9) + 0.5) * 0x1p-23; }

/// Uniforms of one sample, `size` of them.
inline void uniform(std::uint64_t seed, std::uint32_t sample, std::size_t size, Stream stream, float* into,
                    std::uint32_t row = 0) {
  for (std::size_t e = 0; e < size; e += 4) {
    const Block words = philox4x32({static_cast<std::uint32_t>(e / 4), sample, row, stream}, seed);
    for (std::size_t i = 0; i < 4 && e + i < size; ++i) into[e + i] = static_cast<float>(unit(words[i]));
  }
}

/// Standard Gumbel numbers of one sample, computed in float64 and rounded once.
inline void gumbel(std::uint64_t seed, std::uint32_t sample, std::size_t size, std::uint32_t row, float* into) {
  for (std::size_t e = 0; e < size; e += 4) {
    const Block words = philox4x32({static_cast<std::uint32_t>(e / 4), sample, row, initial}, seed);
    for (std::size_t i = 0; i < 4 && e + i < size; ++i)
      into[e + i] = static_cast<float>(-std::log(-std::log(unit(words[i]))));
  }
}

/// Standard normals of one sample at one row of a step table, computed in float64 and rounded once.
inline void normal(std::uint64_t seed, std::uint32_t sample, std::size_t size, std::uint32_t row, Stream stream,
                   float* into) {
  constexpr double turn = 6.283185307179586476925286766559;
  for (std::size_t e = 0; e < size; e += 4) {
    const Block words = philox4x32({static_cast<std::uint32_t>(e / 4), sample, row, stream}, seed);
    double z[4];
    for (std::size_t i = 0; i < 4; i += 2) {
      const double radius = std::sqrt(-2 * std::log(unit(words[i]))), angle = turn * unit(words[i + 1]);
      z[i] = radius * std::cos(angle);
      z[i + 1] = radius * std::sin(angle);
    }
    for (std::size_t i = 0; i < 4 && e + i < size; ++i) into[e + i] = static_cast<float>(z[i]);
  }
}

/// One of a model's noises: the k-th of them is row k of stream 0.
inline void draw(const std::string& distribution, std::uint64_t seed, std::uint32_t sample, std::size_t size,
                 std::uint32_t k, float* into) {
  if (distribution == "normal") return normal(seed, sample, size, k, initial, into);
  if (distribution == "uniform") return uniform(seed, sample, size, initial, into, k);
  if (distribution == "gumbel") return gumbel(seed, sample, size, k, into);
  throw Error("noise of the distribution " + distribution + " cannot be drawn here");
}

}  // namespace genzoo::noise

// Arrays, and NumPy's files of them.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "genzoo/error.hpp"
#include "genzoo/files.hpp"
#include "genzoo/safetensors.hpp"
#include "genzoo/shape.hpp"

namespace genzoo {

/// Numbers in C order: the last index varies fastest.
struct Array {
  Shape shape;
  std::vector<float> values;
  bool whole = false;  // whether they are integers, as data of a model of discrete data
};

namespace detail {

/// What follows a key in the header of a .npy file.
inline std::string field(const std::string& header, const std::string& key) {
  const auto at = header.find("'" + key + "'");
  const auto colon = at == std::string::npos ? at : header.find(':', at);
  const auto start = colon == std::string::npos ? colon : header.find_first_not_of(' ', colon + 1);
  if (start == std::string::npos) throw Error("its header has no " + key);
  const char closing = header[start] == '(' ? ')' : ',';
  return header.substr(start, header.find(closing, start) - start);
}

inline Shape npy_shape(const std::string& tuple) {
  Shape shape;
  for (std::size_t i = 0; i < tuple.size();) {
    if (!std::isdigit(static_cast<unsigned char>(tuple[i]))) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < tuple.size() && std::isdigit(static_cast<unsigned char>(tuple[end]))) ++end;
    if (end - i > 10) throw Error("its shape is too large");
    shape.push_back(std::stoll(tuple.substr(i, end - i)));
    i = end;
  }
  return shape;
}

inline float npy_number(const char* bytes, char kind, std::size_t width) {
  std::uint64_t word = 0;
  for (std::size_t i = width; i-- > 0;) word = word << 8 | static_cast<unsigned char>(bytes[i]);
  if (kind == 'f' && width == 4) {
    const auto half = static_cast<std::uint32_t>(word);
    float number;
    std::memcpy(&number, &half, sizeof(number));
    return number;
  }
  if (kind == 'f') {
    double number;
    std::memcpy(&number, &word, sizeof(number));
    return static_cast<float>(number);
  }
  if (kind == 'i') {
    const auto unused = static_cast<int>(64 - 8 * width);
    return static_cast<float>(static_cast<std::int64_t>(word << unused) >> unused);
  }
  return static_cast<float>(word);
}

}  // namespace detail

/// Write an array as float32. Throws Error.
inline void write_npy(const std::filesystem::path& path, const Array& array) {
  std::string shape = text(array.shape);
  shape = shape.substr(1, shape.size() - 2) + (array.shape.size() == 1 ? "," : "");  // Python's tuples
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + "), }";
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  std::string content("\x93NUMPY\x01\x00", 8);
  content += static_cast<char>(header.size() & 0xff);
  content += static_cast<char>(header.size() >> 8);
  content += header;
  for (const float value : array.values) {
    std::uint32_t word;
    std::memcpy(&word, &value, sizeof(word));
    for (int shift = 0; shift < 32; shift += 8) content += static_cast<char>(word >> shift);
  }
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file) throw Error("cannot write " + path.string());
}

/// An array of real or whole numbers. Throws Error.
inline Array read_npy(const std::filesystem::path& path) {
  const std::string content = read(path, std::uint64_t{1} << 33);
  try {
    if (content.size() < 12 || content.compare(0, 6, "\x93NUMPY") != 0) throw Error("it is not a .npy file");
    const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(content[i])); };
    const bool first = byte(6) == 1;
    const std::size_t start = first ? 10 : 12;
    const std::size_t length = byte(8) | byte(9) << 8 | (first ? 0 : byte(10) << 16 | byte(11) << 24);
    if (length > content.size() - start) throw Error("it is cut off");
    const std::string header = content.substr(start, length), type = detail::field(header, "descr");
    if (detail::field(header, "fortran_order") != "False") throw Error("it is in Fortran order");
    static const std::string known[] = {"'<f4'", "'<f8'", "'|u1'", "'|i1'", "'<u2'",
                                        "'<i2'", "'<u4'", "'<i4'", "'<u8'", "'<i8'"};
    if (std::find(std::begin(known), std::end(known), type) == std::end(known)) throw Error("it is of type " + type);
    const char kind = type[2];
    const auto width = static_cast<std::size_t>(type[3] - '0');
    Array array{detail::npy_shape(detail::field(header, "shape")), {}, kind != 'f'};
    const std::size_t size = count(array.shape), data = start + length;
    if (content.size() - data != size * width) throw Error("it has more or fewer numbers than its shape");
    array.values.resize(size);
    for (std::size_t i = 0; i < size; ++i)
      array.values[i] = detail::npy_number(content.data() + data + i * width, kind, width);
    return array;
  } catch (const Error& error) {
    throw Error(path.string() + " is not a NumPy file that can be used here: " + error.what());
  }
}

}  // namespace genzoo

// Named parts of a condition: what is given for each, checked against its range, vocabulary, shape and type.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <locale>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "genzoo/array.hpp"
#include "genzoo/error.hpp"
#include "genzoo/manifest.hpp"
#include "genzoo/shape.hpp"

namespace genzoo {

/// A value of a part, for all samples or one for each of them, by its number of axes: labels or texts, or an array.
struct Value {
  std::vector<std::string> texts;
  Array array;
};

/// Values of parts by their names.
using Values = std::map<std::string, Value>;

namespace detail {

/// One value of a part: whole numbers are exact in it up to 2^24, and there are no more symbols and classes.
using Row = std::vector<float>;

inline std::string who(const Part& part) { return "part " + part.name + " of the condition"; }

/// A number in the fewest digits that show it.
inline std::string digits(double number) {
  std::ostringstream stream;
  stream.imbue(std::locale::classic());
  stream << number;
  return stream.str();
}

/// The characters of a text.
inline std::vector<std::string> characters(const std::string& text) {
  std::vector<std::string> found;
  for (const char byte : text) {
    if (found.empty() || (static_cast<unsigned char>(byte) & 0xc0) != 0x80) found.emplace_back();
    found.back() += byte;
  }
  return found;
}

/// The number that a class's label or number stands for. Throws Error.
inline std::int32_t class_number(const std::vector<std::string>& labels, std::size_t size, const std::string& asked,
                                 const std::string& whose = "") {
  const auto label = std::find(labels.begin(), labels.end(), asked);
  if (label != labels.end()) return static_cast<std::int32_t>(label - labels.begin());
  const bool digits = !asked.empty() && asked.size() < 10 && asked.find_first_not_of("0123456789") == std::string::npos;
  if (digits && std::stoul(asked) < size) return static_cast<std::int32_t>(std::stoul(asked));
  throw Error("there is no class " + asked + whose + "; classes are 0 to " + std::to_string(size - 1) +
              ", or their labels");
}

/// Whether there are tokens or a sequence, which may be of any length and come with a mask.
inline bool has_length(const Part& part) { return part.modality == "tokens" || part.modality == "sequence"; }

/// The ids of a text by the labels of tokens: A to Z are read as small letters, and at each place but white space the
/// longest label that fits is taken.
inline Row words_of(const Part& part, std::string text) {
  std::map<std::string, std::size_t> places;
  std::size_t longest = 0;
  for (std::size_t i = 0; i < part.labels.size(); ++i) {
    places.emplace(part.labels[i], i);
    longest = std::max(longest, part.labels[i].size());
  }
  for (char& byte : text)
    if (byte >= 'A' && byte <= 'Z') byte = static_cast<char>(byte + 32);
  Row ids;
  for (std::size_t at = 0; at < text.size();) {
    if (std::string(" \t\r\n").find(text[at]) != std::string::npos) {
      ++at;
      continue;
    }
    std::size_t size = std::min(longest, text.size() - at);
    while (size > 0 && places.count(text.substr(at, size)) == 0) --size;
    if (size == 0) throw Error(who(part) + " has no symbol " + characters(text.substr(at)).front());
    ids.push_back(static_cast<float>(places[text.substr(at, size)]));
    at += size;
  }
  return ids;
}

/// Whether a text can be given: a label, or tokens of an alphabet or with labels.
inline bool takes_texts(const Part& part) {
  return part.modality == "classes" || (part.modality == "tokens" && !(part.alphabet.empty() && part.labels.empty()));
}

/// The ids of a text.
inline Row ids_of(const Part& part, const std::string& text) {
  if (!part.labels.empty()) return words_of(part, text);
  if (part.alphabet.empty()) throw Error(who(part) + " has no alphabet for texts: give it the ids of its tokens");
  const std::vector<std::string> alphabet = characters(part.alphabet);
  Row ids;
  for (const std::string& symbol : characters(text)) {
    const auto found = std::find(alphabet.begin(), alphabet.end(), symbol);
    if (found == alphabet.end()) throw Error(who(part) + " has no symbol " + symbol);
    ids.push_back(static_cast<float>(found - alphabet.begin()));
  }
  return ids;
}

/// One value, checked; tokens without the padding at their end.
inline Row checked_row(const Part& part, Row row) {
  const bool tokens = part.modality == "tokens";
  for (const float number : row) {
    if (!std::isfinite(number)) throw Error(who(part) + " has values that are not finite in float32");
    const bool low = part.minimum && number < static_cast<float>(*part.minimum);
    const bool high = part.maximum && number > static_cast<float>(*part.maximum);
    if (low || high)
      throw Error(who(part) + " runs from " + (part.minimum ? digits(*part.minimum) : "any") + " to " +
                  (part.maximum ? digits(*part.maximum) : "any") + "; got " + digits(number));
    if (tokens && !(number >= 0 && number < static_cast<float>(part.size) && number == std::floor(number)))
      throw Error("tokens of " + who(part) + " run from 0 to " + std::to_string(part.size - 1) + "; got " +
                  digits(number));
  }
  while (tokens && part.padding && !row.empty() && row.back() == static_cast<float>(*part.padding)) row.pop_back();
  if (row.empty()) throw Error(who(part) + " is empty: it has at least one " + (tokens ? "symbol" : "row"));
  return row;
}

/// Whether an array, from some axis on, has the shape of one value.
inline bool fits(const Part& part, const Shape& shape, std::size_t from) {
  if (shape.size() != part.shape.size() + from) return false;
  for (std::size_t i = 0; i < part.shape.size(); ++i) {
    const std::int64_t have = shape[i + from], want = part.shape[i];
    if (want >= 0 && have != want && !(i == 0 && has_length(part) && have < want)) return false;
  }
  return true;
}

inline std::string shown(const Part& part, std::size_t n) {
  std::string whole = "[";
  for (std::size_t i = 0; i < part.shape.size(); ++i)
    whole += (i ? ", " : "") + (part.shape[i] < 0 ? part.length : std::to_string(part.shape[i]));
  return whole + "], or " + std::to_string(n) + " of them";
}

/// The null of a part: what stands for no value.
inline Row null_row(const Part& part) {
  if (part.null.size() > 1 || part.modality == "classes") return Row(part.null.begin(), part.null.end());
  Shape whole = part.shape;
  if (!whole.empty() && whole[0] < 0) whole[0] = 1;
  return Row(count(whole), part.null.at(0));
}

/// What a part was given: one value for all of n samples, or one for each.
inline std::vector<Row> read_part(const Part& part, const Values& values, std::size_t n) {
  const auto found = values.find(part.name);
  if (found == values.end()) {
    if (part.required || part.null.empty())
      throw Error(who(part) + " is missing: the model needs it for each sample");
    return {null_row(part)};
  }
  const Value& value = found->second;
  std::vector<Row> rows;
  if (!value.texts.empty()) {
    if (value.texts.size() != 1 && value.texts.size() != n)
      throw Error(std::to_string(n) + " samples need one value or " + std::to_string(n) + " values for " + who(part) +
                  ", not " + std::to_string(value.texts.size()));
    for (const std::string& text : value.texts)
      if (part.modality == "classes")
        rows.push_back({static_cast<float>(class_number(part.labels, part.size, text, " of part " + part.name))});
      else
        rows.push_back(checked_row(part, ids_of(part, text)));
    return rows;
  }
  const bool one = fits(part, value.array.shape, 0);
  if (!one && !(fits(part, value.array.shape, 1) && value.array.shape[0] == static_cast<std::int64_t>(n)))
    throw Error(std::to_string(n) + " samples need " + who(part) + " of shape " + shown(part, n) + ", not " +
                text(value.array.shape));
  const std::size_t many = one ? 1 : n, size = value.array.values.size() / many;
  for (std::size_t i = 0; i < many; ++i) {
    const auto start = value.array.values.begin() + static_cast<std::ptrdiff_t>(i * size);
    Row row(start, start + static_cast<std::ptrdiff_t>(size));
    if (part.modality != "classes") {
      rows.push_back(checked_row(part, std::move(row)));
    } else {
      rows.push_back({static_cast<float>(class_number({}, part.size, digits(row.at(0)), " of part " + part.name))});
    }
  }
  return rows;
}

}  // namespace detail

/// What an input of a graph is given of a condition: rows one after another, each of `shape`.
struct Rows {
  Shape shape;
  std::vector<float> values;
  bool whole = false;     // whether the input takes int32
  std::size_t rows = 0;
};

/// Conditions of samples by input: each different one is a row.
struct Conditions {
  std::map<std::string, Rows> ports;
  std::vector<std::size_t> index;  // the row of each sample
  std::size_t rows = 0;
};

namespace detail {

using Given = std::vector<std::vector<Row>>;  // of each part

/// Conditions as rows by input, with tokens and sequences of one length's name filled up to the longest of all.
inline std::vector<std::map<std::string, Rows>> filled(const std::vector<Part>& parts,
                                                       const std::vector<Given>& conditions) {
  std::map<std::string, std::size_t> lengths;
  const auto entry = [](const Part& part) { return count({part.shape.begin() + 1, part.shape.end()}); };
  for (const Given& given : conditions)
    for (std::size_t p = 0; p < parts.size(); ++p) {
      if (!has_length(parts[p])) continue;
      std::size_t& length = lengths[parts[p].length];
      if (parts[p].shape[0] >= 0) length = static_cast<std::size_t>(parts[p].shape[0]);
      for (const Row& row : given[p]) length = std::max(length, row.size() / entry(parts[p]));
    }
  std::vector<std::map<std::string, Rows>> found;
  for (const Given& given : conditions) {
    found.emplace_back();
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const Part& part = parts[p];
      const bool whole = part.modality == "tokens" || part.modality == "classes";
      Rows rows{part.shape, {}, whole, given[p].size()};
      Rows mask{{0}, {}, false, given[p].size()};
      if (has_length(part)) rows.shape[0] = mask.shape[0] = static_cast<std::int64_t>(lengths[part.length]);
      const std::size_t size = count(rows.shape);
      for (const Row& row : given[p]) {
        rows.values.insert(rows.values.end(), row.begin(), row.end());
        rows.values.resize(rows.values.size() + size - row.size(), static_cast<float>(part.padding.value_or(0)));
        if (!has_length(part)) continue;
        const std::size_t length = row.size() / entry(part);
        mask.values.resize(mask.values.size() + length, 1.0F);
        mask.values.resize(mask.values.size() + lengths[part.length] - length, 0.0F);
      }
      if (has_length(part)) found.back()[part.name + "_mask"] = std::move(mask);
      found.back()[part.name] = std::move(rows);
    }
  }
  return found;
}

/// Each different condition of n samples once.
inline Conditions distinct(std::map<std::string, Rows> ports, std::size_t n) {
  Conditions found;
  std::map<std::string, std::size_t> seen;
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < n; ++i) {
    std::string key;
    for (const auto& [name, rows] : ports)
      if (rows.rows == n) {
        const std::size_t bytes = count(rows.shape) * sizeof(float);
        key.append(reinterpret_cast<const char*>(rows.values.data()) + i * bytes, bytes);
      }
    const auto [place, added] = seen.emplace(std::move(key), chosen.size());
    if (added) chosen.push_back(i);
    found.index.push_back(place->second);
  }
  for (auto& [name, rows] : ports) {
    const std::size_t size = count(rows.shape);
    Rows taken{rows.shape, {}, rows.whole, chosen.size()};
    for (const std::size_t i : chosen) {
      const auto start = rows.values.begin() + static_cast<std::ptrdiff_t>((rows.rows == n ? i : 0) * size);
      taken.values.insert(taken.values.end(), start, start + static_cast<std::ptrdiff_t>(size));
    }
    found.ports[name] = std::move(taken);
  }
  found.rows = chosen.size();
  return found;
}

}  // namespace detail

/// Conditions of n samples by part, and at the end what they are guided away from: `other`, or the nulls of all parts
/// if `guided`. As many as there are values, or one more. Throws Error.
inline std::vector<Conditions> conditions_of(const std::vector<Part>& parts, const std::vector<const Values*>& values,
                                             const Values& other, bool guided, std::size_t n) {
  std::vector<const Values*> stated = values;
  stated.push_back(&other);
  for (const Values* each : stated)
    for (const auto& [name, value] : *each)
      if (std::none_of(parts.begin(), parts.end(), [&name = name](const Part& part) { return part.name == name; }))
        throw Error("the condition has no part " + name);
  std::vector<detail::Given> given(values.size() + (other.empty() && !guided ? 0 : 1));
  for (const Part& part : parts) {
    for (std::size_t i = 0; i < values.size(); ++i) given[i].push_back(detail::read_part(part, *values[i], n));
    if (!other.empty()) {
      given.back().push_back(detail::read_part(part, other, n));
    } else if (guided) {
      if (part.null.empty())
        throw Error("guidance needs a null of each part of the condition, and " + part.name + " has none");
      given.back().push_back({detail::null_row(part)});
    }
  }
  std::vector<Conditions> found;
  for (std::map<std::string, Rows>& ports : detail::filled(parts, given))
    found.push_back(detail::distinct(std::move(ports), n));
  return found;
}

}  // namespace genzoo

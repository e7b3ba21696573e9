// JSON from untrusted sources (RFC 8259): no duplicate keys, no control characters, finite numbers, bounded depth.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <locale>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "genzoo/error.hpp"

namespace genzoo::json {

class Value;
using Array = std::vector<Value>;
using Object = std::vector<std::pair<std::string, Value>>;  // in the order of the file

/// Whole numbers up to this are exact in a double.
constexpr double largest_whole = 9007199254740992.0;

class Value {
 public:
  std::variant<std::nullptr_t, bool, double, std::string, Array, Object> data;

  bool null() const { return std::holds_alternative<std::nullptr_t>(data); }
  bool is_text() const { return std::holds_alternative<std::string>(data); }

  bool is_list() const { return std::holds_alternative<Array>(data); }

  const std::string& text() const { return as<std::string>("a text"); }
  bool flag() const { return as<bool>("true or false"); }
  double number() const { return as<double>("a number"); }
  const Array& items() const { return as<Array>("a list"); }
  const Object& fields() const { return as<Object>("an object"); }

  std::uint64_t whole() const {
    const double value = number();
    if (!(value >= 0 && value <= largest_whole && value == std::floor(value))) throw Error("a number is not whole");
    return static_cast<std::uint64_t>(value);
  }

  /// The value of a key, or nullptr if it is missing or null.
  const Value* find(std::string_view key) const {
    for (const auto& [name, value] : fields())
      if (name == key) return value.null() ? nullptr : &value;
    return nullptr;
  }

  /// The value of a required key that must not be null.
  const Value& at(std::string_view key) const {
    const Value* found = find(key);
    if (found == nullptr) throw Error("it has no " + std::string(key));
    return *found;
  }

 private:
  template <class T>
  const T& as(const char* what) const {
    if (const T* found = std::get_if<T>(&data)) return *found;
    throw Error(std::string("something in it is not ") + what);
  }
};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Value document() {
    Value found = value(0);
    space();
    if (at_ != text_.size()) fail("goes on after its end");
    return found;
  }

 private:
  static constexpr int max_depth = 32;
  std::string_view text_;
  std::size_t at_ = 0;

  [[noreturn]] void fail(const std::string& what) const {
    throw Error("it is not JSON: it " + what + " at byte " + std::to_string(at_));
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool take(char c) {
    if (peek() != c || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!take(c)) fail(std::string("lacks a '") + c + "'");
  }

  void space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }

  Value value(int depth) {
    if (depth > max_depth) fail("is nested too deep");
    space();
    switch (peek()) {
      case '{':
        return Value{object(depth)};
      case '[':
        return Value{array(depth)};
      case '"':
        return Value{text()};
      case 't':
        return word("true"), Value{true};
      case 'f':
        return word("false"), Value{false};
      case 'n':
        return word("null"), Value{nullptr};
      default:
        return Value{number()};
    }
  }

  void word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) fail("has an unknown word");
    at_ += expected.size();
  }

  Object object(int depth) {
    Object found;
    std::unordered_set<std::string> seen;
    expect('{');
    space();
    if (take('}')) return found;
    do {
      space();
      std::string key = text();
      if (!seen.insert(key).second) fail("has a key twice");
      space();
      expect(':');
      found.emplace_back(std::move(key), value(depth + 1));
      space();
    } while (take(','));
    expect('}');
    return found;
  }

  Array array(int depth) {
    Array found;
    expect('[');
    space();
    if (take(']')) return found;
    do {
      found.push_back(value(depth + 1));
      space();
    } while (take(','));
    expect(']');
    return found;
  }

  void digits() {
    if (peek() < '0' || peek() > '9') fail("has no digit");
    while (peek() >= '0' && peek() <= '9') ++at_;
  }

  double number() {
    const std::size_t start = at_;
    take('-');
    if (!take('0')) digits();
    if (take('.')) digits();
    if (take('e') || take('E')) {
      if (!take('-')) take('+');
      digits();
    }
    // streams can ignore the user's locale, strtod cannot
    std::istringstream stream{std::string(text_.substr(start, at_ - start))};
    stream.imbue(std::locale::classic());
    double found = 0;
    stream >> found;
    // a number too small for a double is rounded; some libraries report that as a failure too
    if (!std::isfinite(found) || (stream.fail() && std::abs(found) > 1)) fail("has a number that is too large");
    return found;
  }

  std::string text() {
    std::string found;
    expect('"');
    while (!take('"')) {
      if (at_ >= text_.size()) fail("ends inside a text");
      const auto byte = static_cast<unsigned char>(text_[at_]);
      if (byte < 0x20 || byte == 0x7f) fail("has a control character");
      if (byte == '\\') {
        ++at_;
        escape(found);
      } else if (byte < 0x80) {
        found += text_[at_++];
      } else {
        utf8(found);
      }
    }
    return found;
  }

  void escape(std::string& into) {
    switch (const char c = at_ < text_.size() ? text_[at_++] : '\0'; c) {
      case '"':
      case '\\':
      case '/':
        into += c;
        return;
      case 'n':
        into += '\n';
        return;
      case 't':
        into += '\t';
        return;
      case 'u':
        break;
      default:
        fail("has an escape that it may not have");
    }
    std::uint32_t point = unit();
    if (point >= 0xd800 && point < 0xdc00 && text_.substr(at_, 2) == "\\u") {
      at_ += 2;
      const std::uint32_t low = unit();
      if (low < 0xdc00 || low > 0xdfff) fail("has half a character");
      point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    if (point >= 0xd800 && point <= 0xdfff) fail("has half a character");
    if ((point < 0x20 && point != '\n' && point != '\t') || (point >= 0x7f && point < 0xa0))
      fail("has a control character");
    if (point < 0x80) {
      into += static_cast<char>(point);
      return;
    }
    const int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    constexpr std::uint32_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    into += static_cast<char>(lead[more] | (point >> (6 * more)));
    for (int i = more - 1; i >= 0; --i) into += static_cast<char>(0x80 | ((point >> (6 * i)) & 0x3f));
  }

  std::uint32_t unit() {
    std::uint32_t found = 0;
    for (int i = 0; i < 4; ++i) {
      const auto place = std::string_view("0123456789abcdef").find(static_cast<char>(peek() | 0x20));
      const bool digit = peek() >= '0' && peek() <= '9';
      if (place == std::string_view::npos || (place < 10) != digit) fail("has an escape that it may not have");
      found = found * 16 + static_cast<std::uint32_t>(place);
      ++at_;
    }
    return found;
  }

  void utf8(std::string& into) {
    const auto byte = [this](std::size_t i) -> std::uint32_t {
      return at_ + i < text_.size() ? static_cast<unsigned char>(text_[at_ + i]) : 0;
    };
    const std::uint32_t first = byte(0);
    const int more = first >= 0xf0 && first < 0xf5   ? 3
                     : first >= 0xe0 && first < 0xf0 ? 2
                     : first >= 0xc2 && first < 0xe0 ? 1
                                                     : 0;
    std::uint32_t point = more == 3 ? first & 0x07 : more == 2 ? first & 0x0f : first & 0x1f;
    for (int i = 1; i <= more; ++i) {
      if ((byte(static_cast<std::size_t>(i)) & 0xc0) != 0x80) fail("is not UTF-8");
      point = (point << 6) | (byte(static_cast<std::size_t>(i)) & 0x3f);
    }
    constexpr std::uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const bool half = point >= 0xd800 && point <= 0xdfff;
    if (more == 0 || point < least[more] || point > 0x10ffff || half) fail("is not UTF-8");
    if (point < 0xa0) fail("has a control character");
    into.append(text_.substr(at_, static_cast<std::size_t>(more) + 1));
    at_ += static_cast<std::size_t>(more) + 1;
  }
};

/// The value of a JSON document. Throws Error.
inline Value parse(std::string_view text) { return Parser(text).document(); }

}  // namespace genzoo::json

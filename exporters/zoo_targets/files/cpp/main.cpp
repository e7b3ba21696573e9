// The command line of genzoo.hpp: samples and log-densities of the bundle in this folder.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <locale>
#include <new>
#include <sstream>
#include <string>
#include <vector>

#include "genzoo.hpp"

namespace {

constexpr const char* usage = R"(usage: sample [options]

  -n N              how many samples [1]
  --seed S          key of the noise, 0 to 2^64 - 1 [0]
  --class A[,B...]  number or label of a class, one for all samples or one for each [every class in turn];
                    of a model that is conditioned on a vector, its numbers
  --condition PART=VALUE  a named part of a condition, once for each: a .npy file, numbers A,B,..., ids of tokens,
                    or a text of their alphabet or words
  --negative PART=VALUE  the same, or a class, to guide away from [the model's null]
  --compose CONDITION:WEIGHT  one of several conditions with weights, once for each, instead of --condition, --class
                    and --guidance: a class, the numbers of a vector, or PART=VALUE;PART=VALUE
  --table NAME      step table, such as ddim-20 [the model's own choice]
  --guidance W      weight of classifier-free guidance [the table's]
  --temperature T   what the noise of a model of one call is multiplied by [the bundle's own]
  --fused           run the graph that contains the whole sampler
  --score FILE.npy  print log-densities of data, in nats, of models that score in one call
  -o FILE.npy       where samples go [samples.npy]
  --bundle FOLDER   the bundle [bundle]
  --threads T       threads of the processor [ONNX Runtime's choice]
)";

struct Arguments {
  std::uint64_t n = 1, threads = 0;
  std::string label, score, output = "samples.npy", bundle = "bundle";
  std::vector<std::string> condition, negative, compose;
  genzoo::SampleOptions options;
};

std::uint64_t whole(const std::string& option, const std::string& text) {
  std::size_t used = 0;
  std::uint64_t value = 0;
  try {
    value = std::stoull(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  // stoull would accept -1 as the largest number
  if (used == 0 || used != text.size() || text.find_first_not_of("0123456789") != std::string::npos)
    throw genzoo::Error(option + " takes a whole number, not " + text);
  return value;
}

double real(const std::string& option, const std::string& text) {
  std::istringstream stream(text);
  stream.imbue(std::locale::classic());
  double value = 0;
  if (!(stream >> value) || !(stream >> std::ws).eof()) throw genzoo::Error(option + " takes a number, not " + text);
  return value;
}

std::vector<std::string> parts(const std::string& text) {
  std::vector<std::string> found;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) found.push_back(part);
  return found;
}

Arguments parse(std::vector<std::string> given) {
  Arguments found;
  for (std::size_t i = 0; i < given.size(); ++i) {
    std::string option = given[i];
    if (option == "--fused") {
      found.options.fused = true;
      continue;
    }
    if (const auto equals = option.find('='); option.rfind("--", 0) == 0 && equals != std::string::npos) {
      given.insert(given.begin() + static_cast<std::ptrdiff_t>(i) + 1, option.substr(equals + 1));
      option.resize(equals);
    }
    if (i + 1 == given.size())
      throw genzoo::Error(option + " is unknown or lacks its value; see --help");
    const std::string& value = given[++i];
    if (option == "-n")
      found.n = whole(option, value);
    else if (option == "--seed")
      found.options.seed = whole(option, value);
    else if (option == "--class")
      found.label = value;
    else if (option == "--condition")
      found.condition.push_back(value);
    else if (option == "--negative")
      found.negative.push_back(value);
    else if (option == "--compose")
      found.compose.push_back(value);
    else if (option == "--table")
      found.options.table = value;
    else if (option == "--guidance")
      found.options.guidance = real(option, value);
    else if (option == "--temperature")
      found.options.temperature = static_cast<float>(real(option, value));
    else if (option == "--score")
      found.score = value;
    else if (option == "-o")
      found.output = value;
    else if (option == "--bundle")
      found.bundle = value;
    else if (option == "--threads")
      found.threads = whole(option, value);
    else
      throw genzoo::Error("there is no option " + option + "; see --help");
  }
  if (found.threads > 1024) throw genzoo::Error("--threads takes at most 1024");
  return found;
}

/// A value of a part: a file, numbers, a label or a text.
genzoo::Value value_of(const std::string& option, const genzoo::Part& part, const std::string& text) {
  if (text.size() > 4 && text.compare(text.size() - 4, 4, ".npy") == 0) return {{}, genzoo::read_npy(text)};
  if (genzoo::detail::takes_texts(part)) return {{text}, {}};
  genzoo::Value found;
  for (const std::string& number : parts(text))
    found.array.values.push_back(static_cast<float>(real(option + " " + part.name, number)));
  found.array.shape = {static_cast<std::int64_t>(found.array.values.size())};
  return found;
}

/// Values of named parts, each as NAME=VALUE.
genzoo::Values values_of(const std::string& option, const std::vector<std::string>& given,
                         const std::optional<genzoo::Conditioning>& condition) {
  genzoo::Values found;
  if (given.empty()) return found;
  if (!condition) throw genzoo::Error("the model takes no condition");
  if (condition->parts.empty() && option == "--negative" && !condition->vector && given.size() == 1)
    return {{"condition", {given, {}}}};
  if (condition->parts.empty())
    throw genzoo::Error("the model has no named parts: give its class or vector by --class");
  for (const std::string& text : given) {
    const std::string name = text.substr(0, text.find('='));
    const auto part = std::find_if(condition->parts.begin(), condition->parts.end(),
                                   [&](const genzoo::Part& each) { return each.name == name; });
    if (part == condition->parts.end() || name.size() == text.size())
      throw genzoo::Error(option + " " + text + " does not begin with the name of a part and an equals sign");
    if (!found.emplace(name, value_of(option, *part, text.substr(name.size() + 1))).second)
      throw genzoo::Error(option + " " + name + " is given twice");
  }
  return found;
}

/// A class or a vector, depending on the model: a label may contain a comma.
void label(const std::string& option, const std::string& text, genzoo::Options& options,
           const genzoo::Manifest& manifest) {
  if (!manifest.condition || !manifest.condition->parts.empty()) throw genzoo::Error("the model takes no class");
  const std::vector<std::string>& labels = manifest.condition->labels;
  const bool whole = std::find(labels.begin(), labels.end(), text) != labels.end();
  if (!manifest.condition->vector) {
    options.classes = whole ? std::vector<std::string>{text} : parts(text);
    return;
  }
  for (const std::string& part : parts(text)) options.vector.push_back(static_cast<float>(real(option, part)));
}

/// CONDITION:WEIGHT, where the last colon separates them.
genzoo::Composed composed(const std::string& text, const genzoo::Manifest& manifest) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0)
    throw genzoo::Error("--compose takes a condition and its weight, CONDITION:WEIGHT, not " + text);
  genzoo::Composed found;
  found.weight = real("--compose", text.substr(colon + 1));
  const std::string stated = text.substr(0, colon);
  if (!manifest.condition || manifest.condition->parts.empty()) {
    label("--compose", stated, found.condition, manifest);
    return found;
  }
  std::vector<std::string> values;
  std::istringstream stream(stated);
  for (std::string value; std::getline(stream, value, ';');) values.push_back(value);
  found.condition.condition = values_of("--compose", values, manifest.condition);
  return found;
}

void condition(Arguments& arguments, const genzoo::Manifest& manifest) {
  if (!arguments.compose.empty() && (!arguments.condition.empty() || !arguments.label.empty()))
    throw genzoo::Error("--compose excludes --condition and --class");
  for (const std::string& text : arguments.compose) arguments.options.compose.push_back(composed(text, manifest));
  arguments.options.condition = values_of("--condition", arguments.condition, manifest.condition);
  arguments.options.negative = values_of("--negative", arguments.negative, manifest.condition);
  if (!arguments.label.empty()) label("--class", arguments.label, arguments.options, manifest);
}

void run(Arguments arguments) {
  const genzoo::Model model(arguments.bundle, static_cast<int>(arguments.threads));
  condition(arguments, model.manifest());
  if (!arguments.score.empty()) {
    std::cout << std::setprecision(9);
    for (const double nats : model.log_prob(genzoo::read_npy(arguments.score), arguments.options))
      std::cout << nats << '\n';
    return;
  }
  const genzoo::Array x = model.sample(arguments.n, arguments.options);
  genzoo::write_npy(arguments.output, x);
  const auto [low, high] = std::minmax_element(x.values.begin(), x.values.end());
  std::cout << arguments.output << ": float32 " << genzoo::text(x.shape) << std::setprecision(3);
  if (!x.values.empty()) std::cout << ", " << *low << " to " << *high;
  std::cout << ", seed " << arguments.options.seed << '\n';
}

}  // namespace

int main(int count, char** values) {
  const std::vector<std::string> given(values + 1, values + count);
  if (std::find(given.begin(), given.end(), "--help") != given.end()) {
    std::cout << usage;
    return EXIT_SUCCESS;
  }
  try {
    run(parse(given));
    return EXIT_SUCCESS;
  } catch (const std::bad_alloc&) {
    std::cerr << "Error: not enough memory: draw fewer samples at a time\n";
  } catch (const std::exception& error) {
    std::cerr << "Error: " << error.what() << '\n';
  }
  return EXIT_FAILURE;
}

// The parts of manifest.json that sampling and scoring need, as specified in docs/bundle-format.md of genzoo.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "genzoo/error.hpp"
#include "genzoo/json.hpp"
#include "genzoo/shape.hpp"

namespace genzoo {

struct Port {
  std::string name;
  Shape shape;        // -1 for a symbolic size, such as the batch
  bool rows = false;  // whether it is led by `rows`: different conditions, instead of samples
};

/// A named input of a condition.
struct Part {
  std::string name, modality;
  Shape shape;         // of one value; -1 for a length of any size
  std::string length;  // the name of that length
  std::size_t size = 0;
  std::vector<std::string> labels;
  std::optional<double> minimum, maximum;
  std::string alphabet;  // or empty
  std::optional<std::int32_t> padding;
  std::vector<float> null;  // what stands for no value: none, one number, or several
  bool required = true;
};

struct Graph {
  std::string file;
  std::vector<Port> inputs, outputs;

  const Port* input(std::string_view name) const {
    const auto found = std::find_if(inputs.begin(), inputs.end(), [&](const Port& p) { return p.name == name; });
    return found == inputs.end() ? nullptr : &*found;
  }
};

/// What samples are conditioned on: one of `size` classes, a vector of `size` numbers, or named parts.
struct Conditioning {
  bool vector = false;
  std::vector<Part> parts;  // empty for a class or a vector
  std::size_t size = 0;
  std::vector<std::string> labels;  // empty, or one for each
};

/// An input of a graph that takes noise: normal, uniform or gumbel.
struct NoiseInput {
  std::string name, distribution;
};

struct Program {
  std::string kind, graph, decoder, sampler = "ddim";
  std::vector<NoiseInput> noises;  // in the order of their streams
  std::string condition_encoder;   // the graph that encodes conditions, or empty
  std::uint64_t steps = 50;
  float shift = 0, scale = 1;
  float temperature = 1;  // what normals are multiplied by, unless another is asked for
  std::optional<float> data_min, data_max;
  std::optional<std::int32_t> null_class;
  bool unclipped_column = false;  // whether matrices may have a column for D before it is clipped
};

struct FileInfo {
  std::uint64_t size;
  std::string sha256;
};

struct Manifest {
  std::string name;
  Shape event_shape;
  std::optional<Conditioning> condition;
  std::optional<std::int64_t> levels;
  std::map<std::string, Graph> graphs;
  std::optional<Program> sample, log_prob, fused;
  std::optional<std::int64_t> batch;  // the fixed batch size of the graphs, if any
  std::map<std::string, FileInfo> files;

  /// Shape of one state of an iterative program: that of a sample, or of a latent if it has a decoder.
  Shape state_shape(const Program& program) const {
    if (program.decoder.empty()) return event_shape;
    const Shape& whole = graphs.at(program.decoder).input("latent")->shape;
    return {whole.begin() + 1, whole.end()};
  }
};

namespace detail {

constexpr std::int64_t largest_size = std::int64_t{1} << 28;

inline std::int64_t size_of(const json::Value& value) {
  if (value.is_text()) return -1;
  const std::uint64_t size = value.whole();
  if (size > static_cast<std::uint64_t>(largest_size)) throw Error("a size in it is too large");
  return static_cast<std::int64_t>(size);
}

inline Shape shape_of(const json::Value& value) {
  Shape shape;
  for (const json::Value& size : value.items()) shape.push_back(size_of(size));
  return shape;
}

inline std::vector<Port> ports(const json::Value& list) {
  std::vector<Port> found;
  for (const json::Value& port : list.items()) {
    const json::Array& sizes = port.at("shape").items();
    const bool rows = !sizes.empty() && sizes[0].is_text() && sizes[0].text() == "rows";
    found.push_back({port.at("name").text(), shape_of(port.at("shape")), rows});
  }
  return found;
}

inline Program program(const json::Value& value) {
  Program found;
  found.kind = value.at("kind").text();
  found.graph = value.at("graph").text();
  const auto number = [&](const char* key, float otherwise) {
    const json::Value* given = value.find(key);
    return given ? static_cast<float>(given->number()) : otherwise;
  };
  const auto bound = [&](const char* key) -> std::optional<float> {
    return value.find(key) ? std::optional<float>(number(key, 0)) : std::nullopt;
  };
  if (const auto* noise = value.find("noise")) {
    if (noise->is_text())
      found.noises.push_back({noise->text(), "normal"});
    else
      for (const json::Value& each : noise->items())
        found.noises.push_back({each.at("name").text(), each.at("distribution").text()});
  }
  if (const auto* decoder = value.find("decoder")) found.decoder = decoder->text();
  if (const auto* sampler = value.find("sampler")) found.sampler = sampler->text();
  if (const auto* steps = value.find("steps")) found.steps = steps->whole();
  if (const auto* encoder = value.find("condition_encoder")) found.condition_encoder = encoder->text();
  if (value.find("null_class")) found.null_class = static_cast<std::int32_t>(size_of(value.at("null_class")));
  if (const auto* more = value.find("unclipped_column")) found.unclipped_column = more->flag();
  found.shift = number("shift", 0);
  found.scale = number("scale", 1);
  found.temperature = number("temperature", 1);
  found.data_min = bound("data_min");
  found.data_max = bound("data_max");
  return found;
}

inline Part part(const json::Value& value) {
  Part found;
  found.name = value.at("name").text();
  found.modality = value.at("modality").text();
  static const std::string known[] = {"classes", "numbers", "image", "audio", "tokens", "sequence"};
  if (std::find(std::begin(known), std::end(known), found.modality) == std::end(known))
    throw Error("part " + found.name + " of its condition is of the unknown kind " + found.modality);
  found.shape = shape_of(value.at("shape"));
  const bool lengthy = found.modality == "tokens" || found.modality == "sequence";
  const bool none = found.shape.empty() != (found.modality == "classes");
  if (none || std::any_of(found.shape.begin() + lengthy, found.shape.end(), [](std::int64_t size) { return size < 1; }))
    throw Error("part " + found.name + " of its condition has no definite shape");
  // a fixed length is not shared
  found.length = lengthy && found.shape[0] < 0 ? value.at("shape").items()[0].text() : " " + found.name;
  if (const auto* size = value.find("size")) found.size = static_cast<std::size_t>(size_of(*size));
  if (const auto* labels = value.find("labels"))
    for (const json::Value& label : labels->items()) found.labels.push_back(label.text());
  if (const auto* least = value.find("minimum")) found.minimum = least->number();
  if (const auto* most = value.find("maximum")) found.maximum = most->number();
  if (const auto* alphabet = value.find("alphabet")) found.alphabet = alphabet->text();
  if (const auto* padding = value.find("padding")) found.padding = static_cast<std::int32_t>(size_of(*padding));
  if (const auto* required = value.find("required")) found.required = required->flag();
  if (const auto* null = value.find("null")) {
    if (null->is_list())
      for (const json::Value& each : null->items()) found.null.push_back(static_cast<float>(each.number()));
    else
      found.null.push_back(static_cast<float>(null->number()));
  }
  if ((found.modality == "classes" || found.modality == "tokens") && found.size < 1)
    throw Error("part " + found.name + " of its condition has no size");
  return found;
}

inline Conditioning conditioning(const json::Value& value) {
  Conditioning found;
  if (const auto* parts = value.find("parts")) {
    for (const json::Value& each : parts->items()) found.parts.push_back(part(each));
    if (found.parts.empty()) throw Error("its condition has no parts");
    return found;
  }
  const std::string& kind = value.at("kind").text();
  if (kind != "classes" && kind != "vector") throw Error("its condition is of the unknown kind " + kind);
  found.vector = kind == "vector";
  found.size = static_cast<std::size_t>(size_of(value.at("size")));
  if (found.size < 1) throw Error("its condition has no size");
  if (const auto* labels = value.find("labels"))
    for (const json::Value& label : labels->items()) found.labels.push_back(label.text());
  return found;
}

/// Whether a name can only denote a file directly in the folder.
inline bool plain(const std::string& name) {
  constexpr std::string_view allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  return !name.empty() && name.size() <= 100 && name.front() != '.' && name.front() != '-' && name.back() != '.' &&
         name.find_first_not_of(allowed) == std::string::npos && name != "manifest.json";
}

inline const Graph& graph_of(const Manifest& manifest, const Program& program) {
  const auto found = manifest.graphs.find(program.graph);
  if (found == manifest.graphs.end()) throw Error("a program uses a missing graph " + program.graph);
  return found->second;
}

/// Refuses a condition that a program's graphs do not take.
inline void check_condition(const Manifest& manifest, const Program& program, const Graph& graph) {
  if (!program.condition_encoder.empty() && !manifest.condition)
    throw Error("it encodes a condition that the model does not have");
  if (!manifest.condition) return;
  std::vector<std::string> names;
  for (const Part& part : manifest.condition->parts) {
    names.push_back(part.name);
    if (part.modality == "tokens" || part.modality == "sequence") names.push_back(part.name + "_mask");
  }
  if (names.empty()) names.emplace_back("condition");
  if (!program.condition_encoder.empty()) {
    const auto encoder = manifest.graphs.find(program.condition_encoder);
    if (encoder == manifest.graphs.end()) throw Error("there is no condition encoder " + program.condition_encoder);
    for (const std::string& name : names)
      if (encoder->second.input(name) == nullptr)
        throw Error("graph " + program.condition_encoder + " takes no " + name);
    names.clear();
    for (const Port& port : encoder->second.outputs) names.push_back(port.name);
  }
  for (const std::string& name : names)
    if (graph.input(name) == nullptr) throw Error("graph " + program.graph + " takes no " + name);
}

/// Refuses programs that do not fit their graphs.
inline void check(const Manifest& manifest, const Program& program) {
  const Graph& graph = graph_of(manifest, program);
  if (graph.outputs.empty()) throw Error("graph " + program.graph + " has no output");
  check_condition(manifest, program, graph);
  for (const NoiseInput& each : program.noises) {
    const Port* noise = graph.input(each.name);
    if (noise == nullptr || noise->shape.empty()) throw Error("graph " + program.graph + " takes no " + each.name);
    for (std::size_t i = 1; i < noise->shape.size(); ++i)
      if (noise->shape[i] < 0) throw Error("the noise of graph " + program.graph + " has no definite shape");
  }
  if (!program.decoder.empty()) {
    const auto decoder = manifest.graphs.find(program.decoder);
    const Port* latent = decoder == manifest.graphs.end() ? nullptr : decoder->second.input("latent");
    if (latent == nullptr || latent->shape.empty()) throw Error("there is no decoder " + program.decoder);
    for (std::size_t i = 1; i < latent->shape.size(); ++i)
      if (latent->shape[i] < 0) throw Error("the latents of graph " + program.decoder + " have no definite shape");
  }
}

/// Refuses what version 1 of the format does not have.
inline void check_first(const json::Value& value) {
  const auto* condition = value.find("condition");
  bool later = value.find("length") || (condition && condition->find("parts")) || !value.at("programs").find("sample");
  for (const char* name : {"sample", "log_prob", "fused"})
    if (const auto* program = value.at("programs").find(name)) {
      const auto* noise = program->find("noise");
      later = later || program->find("condition_encoder") || program->find("temperature") ||
              program->find("unclipped_column");
      later = later || (noise && noise->is_list());
    }
  if (later) throw Error("it states what its format, version 1, does not have");
}

}  // namespace detail

/// A manifest. Throws Error if it is invalid or of another version.
inline Manifest manifest_from(const json::Value& value) {
  const json::Value& format = value.at("format");
  if (format.at("name").text() != "genzoo-bundle") throw Error("it is not that of a genzoo bundle");
  if (const std::uint64_t version = format.at("version").whole(); version < 1 || version > 2)
    throw Error("it is of version " + std::to_string(version) + ", and this program reads 1 and 2");
  if (format.at("version").whole() == 1) detail::check_first(value);
  Manifest found;
  if (const auto* name = value.at("model").find("name")) found.name = name->text();
  found.event_shape = detail::shape_of(value.at("event_shape"));
  if (std::count(found.event_shape.begin(), found.event_shape.end(), 0)) throw Error("its samples have no numbers");
  if (count(found.event_shape) > static_cast<std::size_t>(detail::largest_size))
    throw Error("its samples are too large");
  if (const auto* condition = value.find("condition")) found.condition = detail::conditioning(*condition);
  if (value.find("levels")) found.levels = detail::size_of(value.at("levels"));
  if (value.find("batch")) found.batch = detail::size_of(value.at("batch"));
  if (found.batch && *found.batch < 1) throw Error("its batch has no samples");
  for (const auto& [name, info] : value.at("files").fields()) {
    if (!detail::plain(name)) throw Error("it names a file that is not a plain file of the bundle");
    found.files[name] = {info.at("size").whole(), info.at("sha256").text()};
  }
  for (const auto& [name, graph] : value.at("graphs").fields()) {
    Graph& one = found.graphs[name];
    one = {graph.at("file").text(), detail::ports(graph.at("inputs")), detail::ports(graph.at("outputs"))};
    if (found.files.count(one.file) == 0) throw Error("graph " + name + " is in a file that is not listed");
  }
  const json::Value& programs = value.at("programs");
  if (const auto* samples = programs.find("sample")) found.sample = detail::program(*samples);
  if (const auto* scores = programs.find("log_prob")) found.log_prob = detail::program(*scores);
  if (const auto* fused = programs.find("fused")) found.fused = detail::program(*fused);
  if (!found.sample && !found.log_prob) throw Error("its model neither samples nor scores");
  if (found.sample) detail::check(found, *found.sample);
  if (found.log_prob) detail::check(found, *found.log_prob);
  if (found.fused) detail::check(found, *found.fused);
  return found;
}

}  // namespace genzoo

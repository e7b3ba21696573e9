// Run a genzoo bundle: the same seed gives the same samples as in Python and every other runtime.
//
//     genzoo::Model model("bundle");
//     genzoo::SampleOptions options;
//     options.seed = 7;
//     options.classes = {"3"};                         // or options.condition["state"] = {{}, {{2}, {0.3F, 1}}};
//     genzoo::Array x = model.sample(4, options);      // float32 [4, *event], in data units
//     std::vector<double> nats = model.log_prob(x, options);
//
// Needs C++17 and ONNX Runtime. All errors are of type genzoo::Error, whose what() is one sentence.
// It follows docs/bundle-format.md of genzoo, versions 1 and 2. Copy it, read it, change it: Apache-2.0.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "genzoo/array.hpp"
#include "genzoo/conditions.hpp"
#include "genzoo/error.hpp"
#include "genzoo/files.hpp"
#include "genzoo/manifest.hpp"
#include "genzoo/noise.hpp"
#include "genzoo/sampling.hpp"
#include "genzoo/session.hpp"
#include "genzoo/table.hpp"

namespace genzoo {

/// A bundle, whose files have been checked against its manifest. Threads may share it.
class Model {
 public:
  /// `threads` for one operator on the CPU; 0 leaves the choice to ONNX Runtime. Throws Error.
  explicit Model(std::filesystem::path folder, int threads = 0)
      : folder_(std::move(folder)), threads_(threads), manifest_(open_bundle(folder_)) {
    if (manifest_.files.count(tables)) columns_ = read_columns(folder_ / tables);
  }

  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const Manifest& manifest() const { return manifest_; }

  /// `n` samples, float32 [n, *event] in data units. Sample i is the same alone or among a thousand. Throws Error.
  Array sample(std::size_t n, const SampleOptions& options = {}) const {
    if (!manifest_.sample) throw Error(manifest_.name + " only scores data: it cannot sample");
    const Program& program = tempering(options.fused ? fused() : *manifest_.sample, options);
    const Shape shape = with(checked(n), manifest_.event_shape);
    std::optional<StepTable> table;
    if (!options.fused && program.kind == "iterate") {
      const std::string own = program.sampler + "-" + std::to_string(program.steps);
      table = step_table(columns_, options.table.empty() ? own : options.table);
      if (options.guidance) table->rowed["guidance"].assign(table->rows, *options.guidance);
      if (!options.compose.empty()) {
        if (options.guidance || !options.classes.empty() || !options.vector.empty() || !options.condition.empty())
          throw Error("compose has its conditions and weights, and takes no others beside them");
        table->rowed["guidance"].assign(table->rows, options.compose[0].weight);
        for (auto column = table->rowed.find("rescale"); column != table->rowed.end(); column = table->rowed.end())
          column->second.assign(table->rows, 0);
      }
      check_table(program, *table, further_of(options));
    } else if (!options.table.empty() || options.guidance || !options.negative.empty() || options.compose.size()) {
      throw Error(
          std::string(options.fused ? "a fused run has its sampler built in" : "the model samples in one call") +
          ", and takes no table, guidance or compose");
    } else if (!options.fused && program.kind != "direct") {
      throw Error("the model samples by a program of the unknown kind " + program.kind);
    }
    const std::size_t size = count(manifest_.event_shape);
    const std::vector<double> further = further_of(options);
    const bool guided = table && guided_by(*table, further);
    const std::vector<Conditions> given = encoded(
        program, options.compose.empty()
                     ? conditions_of(manifest_.condition, options, n, options.negative, guided, program.null_class)
                     : conditions_of(manifest_.condition, options.compose, n, options.negative, guided,
                                     program.null_class));
    Array x{shape, {}, false};
    x.values.reserve(count(shape));
    for (const Batch& batch : batches(n, options.batch)) {
      const std::vector<float> part = options.fused ? run_fused(program, batch, given, options.seed)
                                      : table       ? iterate(program, *table, batch, given, options.seed, further)
                                                    : direct(program, batch, given, options);
      x.values.insert(x.values.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(batch.count * size));
    }
    for (std::size_t i = 0; i < x.values.size(); ++i)
      if (!std::isfinite(x.values[i])) throw Error("sample " + std::to_string(i / size) + " is not finite");
    return x;
  }

  /// Log-densities in nats of data [n, *event], of a model that scores in one call. Throws Error.
  /// Whole numbers of a model of discrete data get the specified uniform noise of the seed.
  std::vector<double> log_prob(const Array& x, const Options& options = {}) const {
    if (!manifest_.log_prob || manifest_.log_prob->kind != "direct")
      throw Error("the model does not score in one call, and this program supports nothing else");
    const Program& program = *manifest_.log_prob;
    const std::size_t n = x.shape.empty() ? 0 : static_cast<std::size_t>(x.shape[0]);
    if (x.shape != with(static_cast<std::int64_t>(n), manifest_.event_shape) || n == 0 ||
        x.values.size() != count(x.shape))
      throw Error("the data has shape " + text(x.shape) + ", and samples have " + text(manifest_.event_shape));
    const bool parts = manifest_.condition && !manifest_.condition->parts.empty();
    if (manifest_.condition && !parts && options.classes.empty() && options.vector.empty())
      throw Error("scoring needs the condition of the data");
    const std::vector<float> values = scored(x, options.seed);
    const std::vector<Conditions> given = encoded(program, conditions_of(manifest_.condition, options, n));
    const Session& session = this->session(program);
    const Graph& graph = manifest_.graphs.at(program.graph);
    const auto port = std::find_if(graph.inputs.begin(), graph.inputs.end(),
                                   [&](const Port& p) { return given.empty() || !given[0].ports.count(p.name); });
    if (port == graph.inputs.end()) throw Error("graph " + program.graph + " takes no data");
    const std::size_t size = count(manifest_.event_shape);
    std::vector<double> density;
    for (const Batch& batch : batches(n, options.batch)) {
      Fed fed;
      std::vector<float> part(batch.filled * size);
      for (std::size_t i = 0; i < batch.filled; ++i)
        std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(batch.sample(i) * size), size,
                    part.begin() + static_cast<std::ptrdiff_t>(i * size));
      std::map<std::string, Tensor> feeds;
      feeds.emplace(port->name, Tensor(part, with(batch.size(), manifest_.event_shape)));
      feed_conditions(feeds, fed, first_of(given), batch, {});
      const Tensor found = session.run(feeds, graph.outputs[0].name);
      const float* nats = found.floats({batch.size()}, graph.outputs[0].name);
      for (std::size_t i = 0; i < batch.count; ++i) {
        if (std::isnan(nats[i]) || nats[i] == INFINITY)
          throw Error("the log-density of datum " + std::to_string(batch.first + i) + " is not a number");
        density.push_back(nats[i]);
      }
    }
    return density;
  }

 private:
  static constexpr const char* tables = "tables.safetensors";
  static constexpr std::uint64_t largest_count = std::uint64_t{1} << 32;  // the noise counts samples in 32 bits
  static constexpr std::size_t batch_numbers = 1 << 16, largest_batch = 4096;

  std::filesystem::path folder_;
  int threads_;
  Manifest manifest_;
  std::map<std::string, Column> columns_;
  mutable std::mutex loading_;
  mutable std::map<std::string, std::unique_ptr<Session>> sessions_;

  /// Samples first … first + count - 1, padded with copies of the last one for graphs with a fixed batch size.
  struct Batch {
    std::size_t first, count, filled;
    std::size_t sample(std::size_t i) const { return first + std::min(i, count - 1); }
    std::int64_t size() const { return static_cast<std::int64_t>(filled); }
  };

  /// The numbers of conditions that are fed, which have to outlive their tensors.
  struct Fed {
    std::map<std::string, std::vector<std::int32_t>> wholes;
    std::map<std::string, std::vector<float>> reals;
  };

  /// One evaluation of each.
  using Evaluated = std::vector<const Conditions*>;
  static Evaluated first_of(const std::vector<Conditions>& given) {
    return given.empty() ? Evaluated{} : Evaluated{&given[0]};
  }

  static std::int64_t checked(std::size_t n) {
    if (n < 1 || n > largest_count) throw Error("the number of samples is from 1 to " + std::to_string(largest_count));
    return static_cast<std::int64_t>(n);
  }

  const Program& fused() const {
    if (!manifest_.fused) throw Error("the bundle has no fused graph");
    return *manifest_.fused;
  }

  /// One of the bundle's graphs, loaded on first use.
  const Session& session(const Program& program) const { return session(program.graph); }

  const Session& session(const std::string& graph) const {
    const std::lock_guard<std::mutex> alone(loading_);
    std::unique_ptr<Session>& found = sessions_[graph];
    if (!found) found = std::make_unique<Session>(folder_ / manifest_.graphs.at(graph).file, threads_);
    return *found;
  }

  std::vector<Batch> batches(std::size_t n, std::size_t asked) const {
    const std::size_t usual = batch_numbers / std::max<std::size_t>(count(manifest_.event_shape), 1);
    std::size_t size = asked ? asked : std::clamp<std::size_t>(usual, 1, largest_batch);
    if (manifest_.batch) size = std::min(size, static_cast<std::size_t>(*manifest_.batch));
    std::vector<Batch> found;
    for (std::size_t first = 0; first < n; first += size) {
      const std::size_t part = std::min(size, n - first);
      found.push_back({first, part, manifest_.batch ? static_cast<std::size_t>(*manifest_.batch) : part});
    }
    return found;
  }

  // -- conditions ----------------------------------------------------------------------------------------------------

  /// Conditions as graphs take them: through the program's encoder, if it names one, each row once.
  std::vector<Conditions> encoded(const Program& program, std::vector<Conditions> conditions) const {
    if (program.condition_encoder.empty()) return conditions;
    for (Conditions& each : conditions) each = encoded(program.condition_encoder, each);
    return conditions;
  }

  Conditions encoded(const std::string& encoder, const Conditions& conditions) const {
    const Graph& graph = manifest_.graphs.at(encoder);
    const Session& session = this->session(encoder);
    std::vector<std::string> names;
    for (const Port& port : graph.outputs) names.push_back(port.name);
    std::size_t numbers = 1;
    for (const auto& [name, rows] : conditions.ports) numbers += count(rows.shape);
    const std::int64_t fixed = graph.inputs.empty() || graph.inputs[0].shape.empty() ? -1 : graph.inputs[0].shape[0];
    const std::size_t free = std::max<std::size_t>(batch_numbers / numbers, 1);
    const std::size_t size = fixed > 0 ? static_cast<std::size_t>(fixed) : free;
    Conditions rows = conditions, found;
    rows.index.resize(rows.rows);
    std::iota(rows.index.begin(), rows.index.end(), std::size_t{0});
    for (std::size_t first = 0; first < rows.rows; first += size) {
      const std::size_t part = std::min(size, rows.rows - first);
      const Batch batch{first, part, fixed > 0 ? size : part};
      std::map<std::string, Tensor> feeds;
      Fed fed;
      feed_conditions(feeds, fed, {&rows}, batch, {});
      const std::vector<Tensor> outputs = session.run(feeds, names);
      for (std::size_t i = 0; i < names.size(); ++i) {
        const Shape shape = outputs[i].shape(names[i]);
        Rows& into = found.ports[names[i]];
        into.shape = {shape.begin() + (shape.empty() ? 0 : 1), shape.end()};
        const float* values = outputs[i].floats(with(batch.size(), into.shape), names[i]);
        into.values.insert(into.values.end(), values, values + part * count(into.shape));
        into.rows += part;
      }
    }
    for (const auto& [name, each] : found.ports)
      for (const float value : each.values)
        if (!std::isfinite(value))
          throw Error("graph " + encoder + " encodes the condition as values that are not finite");
    found.index = conditions.index;
    found.rows = conditions.rows;
    return found;
  }

  /// Feed conditions, one evaluation of each, with the sizes `leading` before that of the batch.
  static void feed_conditions(std::map<std::string, Tensor>& feeds, Fed& fed, const Evaluated& evaluated,
                              const Batch& batch, const Shape& leading) {
    if (evaluated.empty()) return;
    for (const auto& [name, rows] : evaluated[0]->ports) {
      const std::size_t size = count(rows.shape);
      std::vector<float>& reals = fed.reals[name];
      reals.clear();
      for (const Conditions* each : evaluated)
        for (std::size_t i = 0; i < batch.filled; ++i) {
          const std::size_t row = each->index[batch.sample(i)];
          const auto start = each->ports.at(name).values.begin() + static_cast<std::ptrdiff_t>(row * size);
          reals.insert(reals.end(), start, start + static_cast<std::ptrdiff_t>(size));
        }
      Shape shape = leading;
      shape.push_back(batch.size());
      shape.insert(shape.end(), rows.shape.begin(), rows.shape.end());
      if (rows.whole) {
        std::vector<std::int32_t>& wholes = fed.wholes[name];
        wholes.assign(reals.begin(), reals.end());
        feeds.insert_or_assign(name, Tensor(wholes, shape));
      } else {
        feeds.insert_or_assign(name, Tensor(reals, shape));
      }
    }
  }

  // -- programs ------------------------------------------------------------------------------------------------------

  /// x = graph(noise, condition)
  std::vector<float> direct(const Program& program, const Batch& batch, const std::vector<Conditions>& given,
                            const SampleOptions& options) const {
    const Graph& graph = manifest_.graphs.at(program.graph);
    if (program.noises.empty()) throw Error("the program that samples takes no noise");
    std::vector<std::vector<float>> drawn(program.noises.size());  // tensors refer to the numbers
    std::map<std::string, Tensor> feeds;
    for (std::size_t k = 0; k < drawn.size(); ++k) {
      const Port& port = *graph.input(program.noises[k].name);
      const Shape shape(port.shape.begin() + 1, port.shape.end());
      const std::size_t size = count(shape);
      drawn[k].resize(batch.filled * size);
      for (std::size_t i = 0; i < batch.filled; ++i)
        noise::draw(program.noises[k].distribution, options.seed, static_cast<std::uint32_t>(batch.sample(i)), size,
                    static_cast<std::uint32_t>(k), drawn[k].data() + i * size);
      feeds.emplace(port.name, Tensor(tempered(drawn[k], program, options), with(batch.size(), shape)));
    }
    Fed fed;
    feed_conditions(feeds, fed, first_of(given), batch, {});
    return samples(session(program).run(feeds, graph.outputs[0].name), batch, graph.outputs[0].name);
  }

  /// x = graph(seed, first, n, condition)
  std::vector<float> run_fused(const Program& program, const Batch& batch, const std::vector<Conditions>& given,
                               std::uint64_t seed) const {
    std::vector<std::int64_t> word{static_cast<std::int64_t>(seed)}, first{static_cast<std::int64_t>(batch.first)},
        n{batch.size()};
    std::map<std::string, Tensor> feeds;
    feeds.emplace("seed", Tensor(word, {}));
    feeds.emplace("first", Tensor(first, {}));
    feeds.emplace("n", Tensor(n, {}));
    // named parts may have one row for all samples
    const std::vector<Port>& inputs = manifest_.graphs.at(program.graph).inputs;
    const bool rows = std::any_of(inputs.begin(), inputs.end(), [](const Port& port) { return port.rows; });
    Fed fed;
    feed_conditions(feeds, fed, first_of(given), rows && given[0].rows == 1 ? Batch{0, 1, 1} : batch, {});
    return samples(session(program).run(feeds, "x"), batch, "x");
  }

  /// One row of the table, one evaluation of the network.
  std::vector<float> iterate(const Program& program, const StepTable& table, const Batch& batch,
                             const std::vector<Conditions>& given, std::uint64_t seed,
                             const std::vector<double>& further) const {
    const Session& session = this->session(program);
    const Graph& graph = manifest_.graphs.at(program.graph);
    // a state may be a latent, which a decoder turns into a sample
    const Shape event = manifest_.state_shape(program);
    const std::size_t size = count(event), all = batch.filled * size;
    const Shape events = with(batch.size(), event);
    const Shape shape = with(static_cast<std::int64_t>(table.slots), events);
    const auto slots = static_cast<std::int64_t>(table.slots);
    // the following are fed by reference: a row changes the numbers in place
    std::map<std::string, std::vector<float>> scalars;
    std::vector<float> matrix(table.slots * table.columns), fresh(all), known(all), mask(all, 1);
    std::map<std::string, Tensor> feeds;
    const auto feed = [&](const std::string& name, std::vector<float>& values, const Shape& of) {
      if (graph.input(name)) feeds.emplace(name, Tensor(values, of));
    };
    for (const std::string& name : row_inputs()) feed(name, scalars[name] = {0}, {});
    feed("matrix", matrix, {slots, static_cast<std::int64_t>(table.columns)});
    feed("noise", fresh, events);
    feed("known", known, events);
    feed("mask", mask, events);

    std::vector<float> start = normals(seed, batch, size, 0, noise::initial), weights;
    for (float& value : start) value *= static_cast<float>(table.initial_scale);
    start.resize(table.slots * all);  // no history yet
    Tensor state(start, shape);
    Fed fed;
    double last = NAN;
    for (std::size_t row = 0; row < table.rows; ++row) {
      for (auto& [name, value] : scalars) value[0] = static_cast<float>(table.at(name, row));
      for (std::size_t i = 0; i < matrix.size(); ++i)
        matrix[i] = static_cast<float>(table.matrix[row * matrix.size() + i]);
      if (const double w = table.at("guidance", row); w != last) {
        // the conditions and the other have weights (w, ..., 1 - their sum); what has weight 0 is not evaluated
        std::vector<double> of_all{w};
        of_all.insert(of_all.end(), further.begin(), further.end());
        of_all.push_back(left(w, further));
        weights.clear();
        Evaluated evaluated;
        for (std::size_t i = 0; i < of_all.size() && !given.empty(); ++i)
          if (of_all[i] != 0) {
            weights.push_back(static_cast<float>(of_all[i]));
            evaluated.push_back(&given.at(i));
          }
        if (given.empty()) {
          weights = {1};
          evaluated = first_of(given);
        }
        const auto evaluations = static_cast<std::int64_t>(weights.size());
        feeds.insert_or_assign("weights", Tensor(weights, {evaluations}));
        feed_conditions(feeds, fed, evaluated, batch, {evaluations});
        last = w;
      }
      if (table.at("noise_scale", row) != 0)
        fresh_normals(seed, batch, size, static_cast<std::uint32_t>(row), noise::step, fresh);
      else
        std::fill(fresh.begin(), fresh.end(), 0.0F);
      feeds.insert_or_assign("state", std::move(state));
      state = session.run(feeds, "next_state");
    }
    const float* end = state.floats(shape, "next_state");
    std::vector<float> x(all);
    for (std::size_t i = 0; i < all; ++i) {
      x[i] = program.shift + program.scale * end[i];
      if (program.data_min && program.data_max) x[i] = std::min(std::max(x[i], *program.data_min), *program.data_max);
    }
    if (program.decoder.empty()) return x;
    std::map<std::string, Tensor> latents;
    latents.emplace("latent", Tensor(x, events));
    return samples(this->session(program.decoder).run(latents, "x"), batch, "x");
  }

  /// Refuses options that the model or its graph does not support, before anything runs.
  void check_table(const Program& program, const StepTable& table, const std::vector<double>& further) const {
    const Graph& graph = manifest_.graphs.at(program.graph);
    const bool parts = manifest_.condition && !manifest_.condition->parts.empty();
    const bool guides = parts || (manifest_.condition && !manifest_.condition->vector && program.null_class);
    table.check_columns(program.graph, program.unclipped_column);
    for (std::size_t row = 0; row < table.rows; ++row) {
      const double w = table.at("guidance", row);
      if (!std::isfinite(left(w, further))) throw Error("guidance is a finite number");
      if (left(w, further) != 0 && !guides)
        throw Error("guidance needs a model with a null class, which this one does not have");
      if (table.at("rescale", row) != 0 && !graph.input("rescale"))
        throw Error("graph " + program.graph + " cannot rescale guidance: it has no input rescale");
    }
  }

  std::vector<float> samples(const Tensor& tensor, const Batch& batch, const std::string& what) const {
    const Shape shape = with(batch.size(), manifest_.event_shape);
    const float* found = tensor.floats(shape, what);
    return {found, found + count(shape)};
  }

  static std::vector<float> normals(std::uint64_t seed, const Batch& batch, std::size_t size, std::uint32_t row,
                                    noise::Stream stream) {
    std::vector<float> values(batch.filled * size);
    fresh_normals(seed, batch, size, row, stream, values);
    return values;
  }

  static void fresh_normals(std::uint64_t seed, const Batch& batch, std::size_t size, std::uint32_t row,
                            noise::Stream stream, std::vector<float>& into) {
    for (std::size_t i = 0; i < batch.filled; ++i)
      noise::normal(seed, static_cast<std::uint32_t>(batch.sample(i)), size, row, stream, into.data() + i * size);
  }

  /// Data as the float32 input of graphs.
  std::vector<float> scored(const Array& x, std::uint64_t seed) const {
    const std::size_t size = count(manifest_.event_shape);
    const bool discrete = manifest_.levels && x.whole;
    std::vector<float> values = x.values, uniform(size);
    for (const float value : values) {
      if (!std::isfinite(value)) throw Error("the data has numbers that are not finite");
      if (discrete && !(value >= 0 && value < static_cast<float>(*manifest_.levels)))
        throw Error("the data has numbers outside 0 to " + std::to_string(*manifest_.levels - 1));
    }
    for (std::size_t i = 0; discrete && i < values.size() / size; ++i) {
      noise::uniform(seed, static_cast<std::uint32_t>(i), size, noise::dequantize, uniform.data());
      for (std::size_t j = 0; j < size; ++j) {
        float& value = values[i * size + j];
        value = std::min(value + uniform[j], std::nextafter(value + 1, 0.0F));  // 255 + 0.9999999 may round up to 256
      }
    }
    return values;
  }
};

}  // namespace genzoo

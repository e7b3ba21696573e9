// The few parts of ONNX Runtime's C API that a bundle needs: tensors over our own memory, and one call.
#pragma once

#include <onnxruntime_c_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "genzoo/error.hpp"
#include "genzoo/shape.hpp"

namespace genzoo {

/// The C API. It only grows, so an old version of it can be requested from any newer library.
inline const OrtApi& api() {
  constexpr std::uint32_t version = ORT_API_VERSION < 17 ? ORT_API_VERSION : 17;
  static const OrtApi* const found = OrtGetApiBase()->GetApi(version);
  if (found == nullptr)
    throw Error(std::string("ONNX Runtime ") + OrtGetApiBase()->GetVersionString() + " is too old: 1.17 is needed");
  return *found;
}

inline void check(OrtStatus* status, const std::string& doing) {
  if (status == nullptr) return;
  std::string reason = api().GetErrorMessage(status);
  api().ReleaseStatus(status);
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  throw Error("ONNX Runtime cannot " + doing + ": " + reason);
}

struct Release {
  void operator()(OrtEnv* it) const { api().ReleaseEnv(it); }
  void operator()(OrtSession* it) const { api().ReleaseSession(it); }
  void operator()(OrtSessionOptions* it) const { api().ReleaseSessionOptions(it); }
  void operator()(OrtMemoryInfo* it) const { api().ReleaseMemoryInfo(it); }
  void operator()(OrtTensorTypeAndShapeInfo* it) const { api().ReleaseTensorTypeAndShapeInfo(it); }
  void operator()(OrtValue* it) const { api().ReleaseValue(it); }
};

template <class T>
using Handle = std::unique_ptr<T, Release>;

template <class T>
constexpr ONNXTensorElementDataType element_type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
template <>
inline constexpr ONNXTensorElementDataType element_type<float> = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
template <>
inline constexpr ONNXTensorElementDataType element_type<std::int32_t> = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
template <>
inline constexpr ONNXTensorElementDataType element_type<std::int64_t> = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;

/// A tensor over a vector's memory, which has to outlive it, or one created by ONNX Runtime.
class Tensor {
 public:
  template <class T>
  Tensor(std::vector<T>& data, const Shape& shape) {
    static_assert(element_type<T> != ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED, "graphs take no such numbers");
    if (count(shape) != data.size()) throw Error("a tensor of " + text(shape) + " does not hold so many numbers");
    OrtMemoryInfo* memory = nullptr;
    check(api().CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory), "describe memory");
    const Handle<OrtMemoryInfo> owned(memory);
    OrtValue* made = nullptr;
    check(api().CreateTensorWithDataAsOrtValue(memory, data.data(), data.size() * sizeof(T), shape.data(), shape.size(),
                                               element_type<T>, &made),
          "make a tensor");
    value_.reset(made);
  }

  explicit Tensor(OrtValue* made) : value_(made) {}

  const OrtValue* get() const { return value_.get(); }

  /// Its shape. Throws Error.
  Shape shape(const std::string& what) const {
    const Handle<OrtTensorTypeAndShapeInfo> info = described(what);
    std::size_t rank = 0;
    check(api().GetDimensionsCount(info.get(), &rank), "tell the shape of " + what);
    Shape shape(rank);
    check(api().GetDimensions(info.get(), shape.data(), rank), "tell the shape of " + what);
    return shape;
  }

  /// Its numbers, if they are float32 of this shape. Throws Error.
  const float* floats(const Shape& expected, const std::string& what) const {
    ONNXTensorElementDataType type{};
    check(api().GetTensorElementType(described(what).get(), &type), "tell the type of " + what);
    const Shape shape = this->shape(what);
    if (type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || shape != expected)
      throw Error(what + " is not float32" + text(expected) + " but of shape " + text(shape) +
                  (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? "" : ", and not float32"));
    void* data = nullptr;
    check(api().GetTensorMutableData(value_.get(), &data), "give " + what);
    return static_cast<const float*>(data);
  }

 private:
  Handle<OrtValue> value_;

  Handle<OrtTensorTypeAndShapeInfo> described(const std::string& what) const {
    OrtTensorTypeAndShapeInfo* made = nullptr;
    check(api().GetTensorTypeAndShape(value_.get(), &made), "tell the shape of " + what);
    return Handle<OrtTensorTypeAndShapeInfo>(made);
  }
};

/// A graph, loaded. Threads may share it.
class Session {
 public:
  /// `threads` for one operator on the CPU; 0 leaves the choice to ONNX Runtime.
  Session(const std::filesystem::path& graph, int threads) : name_(graph.filename().string()) {
    OrtSessionOptions* made = nullptr;
    check(api().CreateSessionOptions(&made), "make options");
    const Handle<OrtSessionOptions> options(made);
    // spinning threads would take the processor from the rest of the program
    check(api().AddSessionConfigEntry(made, "session.intra_op.allow_spinning", "0"), "set its options");
    check(api().SetSessionGraphOptimizationLevel(made, ORT_ENABLE_ALL), "set its options");
    if (threads > 0) check(api().SetIntraOpNumThreads(made, threads), "set its threads");
    OrtSession* session = nullptr;
    check(api().CreateSession(environment(), graph.c_str(), made, &session), "load " + name_);
    session_.reset(session);
  }

  /// One output of one call. Throws Error.
  Tensor run(const std::map<std::string, Tensor>& feeds, const std::string& output) const {
    return std::move(run(feeds, std::vector<std::string>{output}).front());
  }

  /// Several outputs of one call. Throws Error.
  std::vector<Tensor> run(const std::map<std::string, Tensor>& feeds, const std::vector<std::string>& outputs) const {
    std::vector<const char*> names;
    std::vector<const OrtValue*> values;
    for (const auto& [name, tensor] : feeds) {
      names.push_back(name.c_str());
      values.push_back(tensor.get());
    }
    std::vector<const char*> wanted;
    for (const std::string& output : outputs) wanted.push_back(output.c_str());
    std::vector<OrtValue*> made(outputs.size(), nullptr);
    check(api().Run(session_.get(), nullptr, names.data(), values.data(), names.size(), wanted.data(), wanted.size(),
                    made.data()),
          "run " + name_);
    std::vector<Tensor> found;
    for (OrtValue* each : made) found.emplace_back(each);
    return found;
  }

 private:
  std::string name_;
  Handle<OrtSession> session_;

  /// One for the program, kept until it exits: sessions may be released late.
  static OrtEnv* environment() {
    static const Handle<OrtEnv> shared = [] {
#ifndef _WIN32
      // read once, here: nothing is told to the makers of ONNX Runtime, unless the environment says 0
      ::setenv("ORT_DISABLE_TELEMETRY", "1", 0);
#endif
      OrtEnv* made = nullptr;
      check(api().CreateEnv(ORT_LOGGING_LEVEL_FATAL, "genzoo", &made), "start");
      return Handle<OrtEnv>(made);
    }();
    return shared.get();
  }
};

}  // namespace genzoo

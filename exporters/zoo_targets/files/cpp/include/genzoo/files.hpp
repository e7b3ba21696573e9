// A bundle's files, read within bounds and checked against the manifest.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "genzoo/error.hpp"
#include "genzoo/manifest.hpp"
#include "genzoo/sha256.hpp"

namespace genzoo {

namespace fs = std::filesystem;

/// The size of a plain file, not a link, pipe or device. Throws Error.
inline std::uint64_t plain_size(const fs::path& path) {
  std::error_code problem;
  const fs::file_status status = fs::symlink_status(path, problem);
  if (status.type() == fs::file_type::not_found) throw Error(path.string() + " does not exist");
  if (problem || status.type() != fs::file_type::regular) throw Error(path.string() + " is not a plain file");
  const std::uint64_t size = fs::file_size(path, problem);
  if (problem) throw Error("cannot read " + path.string() + ": " + problem.message());
  return size;
}

/// The content of a plain file of limited size. Throws Error.
inline std::string read(const fs::path& path, std::uint64_t most) {
  const std::uint64_t size = plain_size(path);
  if (size > most)
    throw Error(path.string() + " is too large: it has " + std::to_string(size) + " bytes");
  std::string content(static_cast<std::size_t>(size), '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(content.data(), static_cast<std::streamsize>(size))) throw Error("cannot read " + path.string());
  return content;
}

inline std::string sha256(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error("cannot read " + path.string());
  Sha256 digest;
  std::vector<char> part(1 << 20);
  do {
    file.read(part.data(), static_cast<std::streamsize>(part.size()));
    digest.add(part.data(), static_cast<std::size_t>(file.gcount()));
  } while (file);
  if (!file.eof()) throw Error("cannot read " + path.string());
  return digest.hex();
}

/// The manifest of a folder, having checked that it contains exactly the listed files, unaltered. Throws Error.
inline Manifest open_bundle(const fs::path& folder) {
  const fs::path path = folder / "manifest.json";
  std::error_code problem;
  if (!fs::exists(path, problem)) throw Error(folder.string() + " is not a bundle: it has no manifest.json");
  Manifest manifest;
  try {
    manifest = manifest_from(json::parse(read(path, 4 << 20)));
  } catch (const Error& error) {
    throw Error(path.string() + " is not a valid manifest: " + error.what());
  }
  for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem))
    if (const std::string name = entry->path().filename().string();
        name != "manifest.json" && !manifest.files.count(name))
      throw Error(entry->path().string() + " is not listed by the bundle's manifest");
  if (problem) throw Error("cannot read " + folder.string() + ": " + problem.message());
  for (const auto& [name, info] : manifest.files)
    if (plain_size(folder / name) != info.size || sha256(folder / name) != info.sha256)
      throw Error((folder / name).string() + " has been altered or damaged: copy the bundle again");
  return manifest;
}

}  // namespace genzoo

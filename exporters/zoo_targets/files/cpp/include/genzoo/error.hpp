// The only exception of this library, with a sentence that a user can act on.
#pragma once

#include <stdexcept>

namespace genzoo {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace genzoo

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sonde {

// As a person reads it: C++ and Rust names, legacy and v0, without Rust's hash; any other name as it is.
[[nodiscard]] std::string display_name(std::string_view name);

// A pattern for names of functions, in the form of what people know:
//   github.com/ethereum/go-ethereum/core.(*BlockChain).insertChain    a Go name; `*` is any run of characters
//   mdbx_txn_commit*                                                  a C name
//   EngineApiTreeHandler::on_new_payload                              identifiers of a Rust or C++ name, in this order
//   *<*>::on_new_payload                                              a Rust or C++ name as display_name gives it
//
// Identifiers are found in the mangled name, where Rust (legacy and v0) and C++ write each with its length before it:
// so one pattern fits all instances of a generic function, of any crate hash and compiler. The bodies of closures and
// of async functions, which bear the name of the function they are in, do not match.
class NamePattern {
  public:
    explicit NamePattern(std::string_view text);

    [[nodiscard]] bool matches(std::string_view name) const;
    [[nodiscard]] const std::string& text() const { return text_; }

  private:
    std::string text_;
    std::string word_;                      // what a mangled name must contain
    std::vector<std::string> identifiers_;  // each with its length before it; empty unless the pattern is made of them
};

}  // namespace sonde

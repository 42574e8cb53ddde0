// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "userspace/base/rooted_fs.h"
#include "userspace/catalog/catalog.h"
#include "userspace/host/process.h"
#include "userspace/probes/client_probe.h"
#include "userspace/symbols/symbol_report.h"

namespace sonde {

// A call of the catalog in a program, or why it cannot be timed there.
struct ProgramCall {
    const CatalogCall* call = nullptr;
    ClientCall sites;                   // without copies: not to be timed
    std::vector<std::string> refusals;  // functions that are there and are let alone, and why
};

// What is known of one file that clients run: its program, or a shared object in it.
struct ClientProgram {
    std::string path;  // as the kernel can open it, while the process that it was read for lives
    FileIdentity file;
    BinaryFacts facts;
    std::vector<ProgramCall> calls;  // all of the catalog's, in its order
};

// A process that is a client, and what of it can be timed.
struct FoundClient {
    ProcessInfo process;
    const CatalogClient* client = nullptr;
    std::string name;  // label: what the process calls itself
    std::vector<ClientProgram> programs;
    std::vector<std::string> problems;  // files that could not be read
};

// Finds clients among processes. Keeps what it has read of a file for as long as the file stays what it is: of a
// process that comes again, nothing is read twice. One thread.
class ClientFinder {
  public:
    // Both must outlive it, and what it returns.
    ClientFinder(const Catalog& catalog, const RootedFs& fs) : catalog_(&catalog), fs_(&fs) {}

    // Null: it is no client that is known. Reads the program of a process if it has not seen it yet.
    [[nodiscard]] const CatalogClient* identify(const ProcessInfo& process);
    // What of it can be timed.
    [[nodiscard]] FoundClient examine(const ProcessInfo& process, const CatalogClient& client);
    // All processes but this one.
    [[nodiscard]] std::vector<FoundClient> find_all();

  private:
    // A file as it was read: an upgrade in place may keep its size and its time, but not when it was changed.
    using FileState = std::pair<FileIdentity, int64_t>;
    // And the client that it was looked at for.
    using ProgramKey = std::pair<FileState, std::string>;
    // What rules ask of a program.
    struct Facts {
        std::optional<GoBuildInfo> go;
        std::set<uint32_t> functions;  // which of the patterns of all rules are in it
    };

    [[nodiscard]] const Facts* facts_of(pid_t pid);
    [[nodiscard]] bool fits(const CatalogRule& rule, const ProcessInfo& process);
    void add_program(const ProcessInfo& process, const std::string& path, const std::vector<const CatalogCall*>& calls,
                     const CatalogClient& client, FoundClient& into);

    const Catalog* catalog_;
    const RootedFs* fs_;
    std::map<FileState, Facts> facts_;
    std::map<ProgramKey, Result<ClientProgram>> programs_;
};

// The catalog of this host: what is built in, and /etc/sonde/clients.d. What is wrong with one of its files is logged.
[[nodiscard]] Catalog load_catalog();

// Which calls of the clients that were found are to be timed.
struct ClientSelection {
    std::set<std::string> clients{};   // empty: all
    std::vector<std::string> calls{};  // globs; empty: all but hot ones
    pid_t pid = 0;                     // only this process; 0: any
    std::string comm{};                // only processes that call themselves so; empty: any
    [[nodiscard]] bool wants(const ProcessInfo& process) const;
    [[nodiscard]] bool wants(const CatalogClient& client) const;
    [[nodiscard]] bool wants(const CatalogCall& call) const;
};

// What to attach in a process; for each of its files that has something, one.
[[nodiscard]] std::vector<ClientTarget> targets_of(const FoundClient& found, const ClientSelection& selection,
                                                   const RootedFs& fs);

}  // namespace sonde

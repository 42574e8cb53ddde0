// SPDX-License-Identifier: Apache-2.0
//
// pipe, direct-read, tcp-rr and futex at the same time, each in a process of its own, with the options of
// all.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <iterator>

#include "tests/load/loads.h"
#include "userspace/base/unique_fd.h"

namespace sonde::load {
namespace {

using Load = Report (*)(const Options&);
constexpr std::array<Load, 4> kParts{run_pipe, run_direct_read, run_tcp_rr, run_futex};

struct Part {
    Worker worker;
    UniqueFd report;
};

Part start_part(Load load, const Options& options)
{
    std::array<int, 2> fds{};
    check(::pipe2(fds.data(), O_CLOEXEC), "pipe2");
    UniqueFd read_end(fds[0]);
    const UniqueFd write_end(fds[1]);
    Worker worker(Worker::Kind::kProcess, comm_of(options), [&] {
        const std::string json = load(options).json();
        check_retried([&] { return ::write(write_end.get(), json.data(), json.size()); }, "write the report");
    });
    return {std::move(worker), std::move(read_end)};
}

std::string read_all(const UniqueFd& fd)
{
    std::string text;
    std::array<char, 4096> buffer;
    while (const long n =
               check_retried([&] { return ::read(fd.get(), buffer.data(), buffer.size()); }, "read a report")) {
        text.append(buffer.data(), static_cast<size_t>(n));
    }
    return text;
}

}  // namespace

Report run_mixed(const Options& options)
{
    std::vector<Part> parts;
    for (const Load load : kParts) {
        parts.push_back(start_part(load, options));
    }
    announce(options);
    std::string list;
    for (Part& part : parts) {
        list += (list.empty() ? "" : ",") + read_all(part.report);
        part.worker.join();
    }
    Report report("mixed");
    report.add_raw("parts", "[" + list + "]");
    return report;
}

}  // namespace sonde::load

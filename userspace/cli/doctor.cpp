// SPDX-License-Identifier: Apache-2.0
#include "userspace/app/doctor.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "userspace/cli/cli.h"
#include "userspace/cli/paint.h"
#include "userspace/export/units.h"
#include "userspace/export/utf8.h"

namespace sonde::cli {
namespace {

constexpr const char* kDoctor = "doctor";

const char* state_color(ProbeState state)
{
    return state == ProbeState::kOk ? kGreen : state == ProbeState::kDegraded ? kYellow : kRed;
}

std::string to_text(const DoctorReport& report, const Paint& paint)
{
    std::string text = paint(kBold, "sonde doctor") + ": " + printable(report.host) + ", Linux " +
                       report.kernel.release + ", " + std::to_string(report.kernel.possible_cpus) + " CPUs\n\n";
    text += paint(kBold, pad("MEASUREMENT", 22) + pad("STATUS", 10) + pad("COST", 8) + "HOOK") + "\n";
    for (const DoctorReport::Measurement& m : report.measurements) {
        text += pad(m.name, 22) + paint(state_color(m.state), pad(state_name(m.state), 10)) +
                pad(m.cost.empty() ? "-" : m.cost, 8) + (m.hook.empty() ? "-" : m.hook) + "\n";
        for (const std::string& rejected : m.rejected) {
            text += paint(kDim, "    not " + rejected) + "\n";
        }
        if (!m.reason.empty()) {
            text += "    " + paint(state_color(m.state), m.reason) + "\n";
        }
        if (!m.remedy.empty() && m.state != ProbeState::kOk) {
            text += "    what would help: " + m.remedy + "\n";
        }
    }
    text += "\n" + paint(kBold, "THIS KERNEL AND THESE PRIVILEGES") + "\n";
    for (const DoctorReport::Fact& fact : report.facts) {
        text += pad(fact.name, 30) + (fact.limits ? paint(kYellow, fact.value) : fact.value) + "\n";
    }
    text += "\n" + paint(kBold, "KERNEL MEMORY OF ALL MAPS") + "\n";
    text += pad("here", 30) +
            (report.kernel_bytes == 0 ? "nothing could be loaded"
                                      : format_bytes(report.kernel_bytes) +
                                            " (computed: " + format_bytes(report.kernel_bytes_computed) + ")") +
            "\n";
    text += pad("128 CPUs, 4,000 processes", 30) + format_bytes(report.kernel_bytes_large) + " (computed)\n";
    text += pad("state of threads in", 30) + report.task_store + "\n\n";
    if (report.none_works()) {
        text += paint(kRed, "Nothing can be measured here.") + "\n";
    } else if (report.all_work()) {
        const auto limited = std::count_if(report.measurements.begin(), report.measurements.end(),
                                           [](const auto& m) { return m.state == ProbeState::kDegraded; });
        text += paint(kGreen, limited == 0 ? "All measurements work."
                                           : "All measurements work, " + std::to_string(limited) + " with limits.") +
                "\n";
    } else {
        text += paint(kYellow, "Some measurements are off.") + "\n";
    }
    return text;
}

std::string to_json(const DoctorReport& report)
{
    using nlohmann::ordered_json;
    ordered_json document{{"schema", "sonde.doctor/1"},
                          {"host", to_valid_utf8(report.host)},
                          {"kernel", report.kernel.release},
                          {"cpus", report.kernel.possible_cpus}};
    document["measurements"] = ordered_json::array();
    for (const DoctorReport::Measurement& m : report.measurements) {
        document["measurements"].push_back({{"measurement", m.name},
                                            {"status", state_name(m.state)},
                                            {"hook", m.hook},
                                            {"cost", m.cost},
                                            {"reason", m.reason},
                                            {"remedy", m.remedy},
                                            {"rejected", m.rejected}});
    }
    document["facts"] = ordered_json::object();
    for (const DoctorReport::Fact& fact : report.facts) {
        document["facts"][fact.name] = fact.value;
    }
    document["kernel_memory_bytes"] = {{"here", report.kernel_bytes},
                                       {"here_computed", report.kernel_bytes_computed},
                                       {"computed_128_cpus_4000_processes", report.kernel_bytes_large}};
    document["task_store"] = report.task_store;
    document["all_work"] = report.all_work();
    return document.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

int run_doctor(const std::vector<std::string>& arguments)
{
    std::string output = "text";
    std::string color = "auto";
    std::string btf;
    bool verbose = false;
    CLI::App app;
    app.name("sonde doctor");
    app.description(
        "Shows, for this kernel and these privileges, each measurement, the hook that was chosen and its\n"
        "cost, or why it is missing and what would bring it. Loads every program; attaches none.");
    app.footer("Exit status: 0 all measurements work, 1 some do not, 3 none does.");
    app.add_option("-o,--output", output, "text or json")->type_name("FORMAT")->check(CLI::IsMember({"text", "json"}));
    app.add_option("--color", color, "auto, always or never")
        ->type_name("WHEN")
        ->check(CLI::IsMember({"auto", "always", "never"}));
    app.add_option("--btf", btf, "BTF of this kernel, for a kernel that was built without")->type_name("FILE");
    app.add_flag("-v,--verbose", verbose, "Show what libbpf says");
    try {
        app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    } catch (const CLI::CallForHelp&) {
        const Status written = write_output(app.help());
        return written ? kDone : report(kDoctor, written.error());
    } catch (const CLI::ParseError& error) {
        return report_usage(kDoctor, std::string(error.what()) + " (see sonde doctor --help)");
    }
    start_log(kDoctor, verbose ? LogLevel::kEverything : LogLevel::kNothing);  // the report says it all
    const Result<DoctorReport> examined = examine_host(btf, verbose);
    if (!examined) {
        return report(kDoctor, examined.error());
    }
    const Status written = write_output(output == "json" ? to_json(*examined)
                                                         : to_text(*examined, Paint(use_color(color, STDOUT_FILENO))));
    if (!written) {
        return report(kDoctor, written.error());
    }
    return examined->all_work() ? kDone : examined->none_works() ? kUnsupported : kFailed;
}

}  // namespace sonde::cli

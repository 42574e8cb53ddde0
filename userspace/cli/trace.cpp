// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <map>
#include <optional>
#include <tuple>

#include "userspace/app/call_targets.h"
#include "userspace/app/command.h"
#include "userspace/app/target.h"
#include "userspace/app/trace_loop.h"
#include "userspace/app/trace_session.h"
#include "userspace/base/parse.h"
#include "userspace/cli/cli.h"
#include "userspace/export/json.h"
#include "userspace/export/prometheus.h"
#include "userspace/export/text.h"
#include "userspace/export/units.h"
#include "userspace/export/utf8.h"

namespace sonde::cli {
namespace {

constexpr const char* kTrace = "trace";
constexpr double kClientBudget = 0.01;  // of a CPU
const std::map<std::string, ProbeKind> kProbes{
    {"sched", ProbeKind::kSched}, {"block", ProbeKind::kBlock}, {"tcp", ProbeKind::kTcp}};
const std::map<std::string, TaskStore> kTaskStores{
    {"auto", TaskStore::kAuto}, {"array", TaskStore::kArray}, {"storage", TaskStore::kStorage}};

struct TraceOptions {
    std::string duration;
    std::string interval;
    std::string pid;
    std::string comm;
    std::string cgroup;
    std::vector<std::string> command;
    std::vector<std::string> probes{"sched", "block", "tcp"};
    std::vector<std::string> uprobes;
    std::vector<std::string> clients;
    std::vector<std::string> calls;
    std::optional<double> budget;
    std::string output = "text";
    std::string color = "auto";
    std::string task_store = "auto";
    std::string btf;
    bool by_pid = false;
    bool all = false;
    bool statistics = false;
    bool verbose = false;
};

void add_options(CLI::App& app, TraceOptions& options)
{
    app.description(
        "Measures latency distributions in the kernel and prints them at the end: run-queue latency, on-CPU and\n"
        "off-CPU time per process; block I/O per device; TCP round trips, connects and accepts per port.\n"
        "With -- COMMAND ARGS... behind the options: starts the command, measures it and its children, and ends with it.");
    app.footer(
        "Examples:\n"
        "  sonde trace -d 10                                the whole host, for ten seconds\n"
        "  sonde trace -p $(pidof geth) --probes sched      what geth waits for, until Ctrl-C\n"
        "  sonde trace --client geth -d 30                  where geth's time goes: blocks, execution, database, RPC\n"
        "  sonde trace --comm postgres --interval 5         a new table every five seconds\n"
        "  sonde trace -o json -d 60 > before.json          for later comparison\n"
        "  sonde trace -- fio job.fio                       a command and its children; passes on its status\n\n"
        "Exit status: 0 done, 1 failed, 2 usage, 3 not possible with this kernel or these privileges; with a\n"
        "COMMAND, its own (127: it could not be started).");
    app.add_option("-d,--duration", options.duration, "How long: 10s, 500ms, 2m. Without it: until Ctrl-C")
        ->type_name("TIME");
    app.add_option(
           "--interval", options.interval,
           "Print what came in each interval, not only at the end (with -o prom: all so far, a whole document each)")
        ->type_name("TIME");
    auto* pid = app.add_option("-p,--pid", options.pid, "Only this process; ends when it ends")->type_name("PID");
    auto* comm =
        app.add_option("--comm", options.comm, "Only processes with this name (up to 15 bytes)")->type_name("NAME");
    auto* cgroup =
        app.add_option("--cgroup", options.cgroup, "Only this cgroup v2 and those below it")->type_name("PATH");
    pid->excludes(comm)->excludes(cgroup);
    comm->excludes(cgroup);
    app.add_option("--probes", options.probes, "Which probes: sched,block,tcp (default: all)")
        ->delimiter(',')
        ->type_name("LIST")
        ->check(CLI::IsMember({"sched", "block", "tcp"}));
    app.add_option(
           "--uprobe", options.uprobes,
           "Time the functions that fit a pattern (see sonde symbols --help) in a process, or in all that run a\n"
           "program. Only these, unless --probes is given. Repeatable")
        ->type_name("PID_OR_PATH:PATTERN")
        ->allow_extra_args(false);
    app.add_option(
           "--client", options.clients,
           "Time the calls of node clients and databases that are known (see sonde catalog), in processes that\n"
           "run now and in those that start meanwhile: their names, or all; with -p or --comm only there. Only these\n"
           "calls, unless --probes is given")
        ->delimiter(',')
        ->type_name("NAME")
        ->allow_extra_args(false);
    app.add_option(
           "--calls", options.calls,
           "With --client: only calls whose names fit, frequent ones too ('*': all, as sonde catalog lists them)")
        ->delimiter(',')
        ->type_name("PATTERN")
        ->allow_extra_args(false);
    app.add_option(
           "--budget", options.budget,
           "How much of one CPU the probes in a process may cost it, in percent, before the dearest are let go\n"
           "(--client: 1, --uprobe: 10; 0: no limit)")
        ->type_name("PERCENT")
        ->check(CLI::Range(0.0, 100.0));
    app.add_option("-o,--output", options.output, "text, json (a line per document) or prom (Prometheus text)")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"text", "json", "prom"}));
    app.add_flag("--by-pid", options.by_pid, "Keep processes of the same name apart");
    app.add_flag("--all", options.all, "Print all rows, not the ten with the most time");
    app.add_option("--color", options.color, "auto, always or never")
        ->type_name("WHEN")
        ->check(CLI::IsMember({"auto", "always", "never"}));
    app.add_flag("--stats", options.statistics,
                 "Have the kernel time sonde's own programs (makes each about 60 ns slower)");
    app.add_option("--btf", options.btf, "BTF of this kernel, for a kernel that was built without")->type_name("FILE");
    app.add_option("--task-store", options.task_store,
                   "Where the state of threads is kept: array, storage or auto (the cheaper one)")
        ->type_name("STORE")
        ->check(CLI::IsMember({"auto", "array", "storage"}));
    app.add_flag("-v,--verbose", options.verbose, "Show what libbpf says");
}

std::string format(const Snapshot& snapshot, const TraceOptions& options)
{
    if (options.output == "json") {
        return to_json(snapshot);
    }
    if (options.output == "prom") {
        return to_prometheus(snapshot);
    }
    TextStyle style;
    style.color = use_color(options.color, STDOUT_FILENO);
    style.width = terminal_width();
    style.max_rows_per_measurement = options.all ? 0 : 10;
    style.utf8 = use_utf8();
    return to_text(snapshot, style);
}

// The line on stderr while a trace runs: on a terminal it counts the seconds and goes away, elsewhere
// it is printed once.
class Progress {
  public:
    Progress(std::string subject, std::optional<std::chrono::nanoseconds> duration)
        : subject_(std::move(subject)), duration_(duration), terminal_(isatty(STDERR_FILENO) == 1)
    {}
    void begin() const
    {
        if (terminal_) {
            update(0);
        } else {
            std::fprintf(stderr, "tracing %s%s\n", subject_.c_str(), duration_ ? "" : " until Ctrl-C");
        }
    }
    void update(double elapsed_s) const
    {
        if (!terminal_) {
            return;
        }
        if (duration_) {
            const double all = std::chrono::duration<double>(*duration_).count();
            std::fprintf(stderr, "\r\033[Ktracing %s: %.0f s of %.3g s, Ctrl-C ends it early", subject_.c_str(),
                         elapsed_s, all);
        } else {
            std::fprintf(stderr, "\r\033[Ktracing %s: %.0f s, Ctrl-C ends it", subject_.c_str(), elapsed_s);
        }
    }
    void clear() const
    {
        if (terminal_) {
            std::fputs("\r\033[K", stderr);
        }
    }

  private:
    std::string subject_;
    std::optional<std::chrono::nanoseconds> duration_;
    bool terminal_;
};

// Prometheus counters only grow: a scraper takes the differences itself.
bool shows_differences(const TraceOptions& options)
{
    return !options.interval.empty() && options.output != "prom";
}

struct Target {
    TaskFilter filter;
    UniqueFd pidfd;
    std::vector<ClientTarget> clients;
    std::shared_ptr<ClientWatch> watch;
    std::string subject = "the whole host";
};

Result<Target> choose_target(const TraceOptions& options)
{
    const RootedFs fs;
    Target target;
    if (!options.pid.empty() || !options.command.empty()) {
        if (Status status = check_pid_namespace(fs); !status) {
            return status.error();
        }
    }
    if (!options.pid.empty()) {
        const Result<pid_t> pid = parse_pid(options.pid);
        if (!pid) {
            return Error{EINVAL, "-p " + pid.error().what};
        }
        Result<PidTarget> process = target_pid(fs, *pid);
        if (!process) {
            return process.error();
        }
        target.filter = process->filter;
        target.pidfd = std::move(process->pidfd);
        target.subject = "process " + options.pid;
    } else if (!options.comm.empty()) {
        Result<TaskFilter> filter = target_comm(options.comm);
        if (!filter) {
            return filter.error();
        }
        target.filter = *filter;
        target.subject = "processes named " + printable(options.comm);
        if (!process_named(fs, options.comm)) {
            spdlog::warn("no process is named {} now: its time will show when one is", printable(options.comm));
        }
    } else if (!options.cgroup.empty()) {
        Result<TaskFilter> filter = target_cgroup(fs, options.cgroup);
        if (!filter) {
            return filter.error();
        }
        target.filter = *filter;
        target.subject = "cgroup " + printable(options.cgroup);
    } else if (!options.command.empty()) {
        target.filter.kind = SONDE_FILTER_TREE;
        target.subject = printable(options.command.front());
    }
    return target;
}

std::string subject_of(const ClientProbe::Extent& extent)
{
    return counted(extent.calls, "call") + " in " + std::to_string(extent.processes) +
           (extent.processes == 1 ? " process" : " processes");
}

// Finds what --client names in the catalog. Returns an exit status other than kDone after saying why it cannot be.
int choose_clients(const TraceOptions& options, Target& target)
{
    const RootedFs fs;
    if (Status status = check_pid_namespace(fs); !status) {
        return report(kTrace, status.error());
    }
    Catalog catalog = load_catalog();
    ClientSelection selection;
    selection.calls = options.calls;
    selection.comm = options.comm;
    selection.pid = options.pid.empty() ? 0 : *parse_pid(options.pid);
    for (const std::string& name : options.clients) {
        const CatalogClient* client = catalog.find(name);
        if (name != "all" && (client == nullptr || client->detect.empty())) {
            return report_usage(kTrace, "--client " + printable(name) + ": there is no such client: see sonde catalog");
        }
        selection.clients.insert(name);
    }
    if (selection.clients.contains("all")) {
        selection.clients.clear();
    }
    target.watch = std::make_shared<ClientWatch>(std::move(catalog), std::move(selection));
    return kDone;
}

// Finds what --uprobe names. Returns an exit status other than kDone after saying why it cannot be.
int choose_calls(const TraceOptions& options, Target& target)
{
    std::vector<CallSpec> specs;
    for (const std::string& text : options.uprobes) {
        Result<CallSpec> spec = parse_call_spec(text);
        if (!spec) {
            return report_usage(kTrace, "--uprobe " + spec.error().what);
        }
        specs.push_back(std::move(*spec));
    }
    const RootedFs fs;
    if (Status status = check_pid_namespace(fs); !status) {
        return report(kTrace, status.error());
    }
    Result<CallTargets> found = find_call_targets(specs, fs);
    if (!found) {
        report(kTrace, found.error());
        return kFailed;
    }
    for (const std::string& refusal : found->refusals) {
        spdlog::warn("continuing without {}", printable(refusal));
    }
    target.clients = std::move(found->targets);
    return kDone;
}

// From attach to the last output. Returns why it ended.
Result<EndReason> trace(TraceSession& session, const TraceOptions& options, LoopConfig loop, const Progress& progress)
{
    Snapshot before;
    const auto print_interval = [&]() -> Status {
        Result<Snapshot> now = session.read();
        if (!now) {
            return now.error();
        }
        progress.clear();
        const Snapshot shown = shows_differences(options) ? advance(before, std::move(*now)) : std::move(*now);
        // Ended processes must give their slots back meanwhile, or there are none left for new ones.
        return write_output(format(shown, options), [&] { session.maintain(); });
    };
    loop.on_interval = print_interval;
    loop.on_second = [&](double elapsed_s) { progress.update(elapsed_s); };
    Result<EndReason> end = run_loop(session, loop);
    if (!end) {
        progress.clear();
        return end.error();
    }
    session.detach();
    if (Status printed = print_interval(); !printed) {
        return printed.error();
    }
    return end;
}

int run_session(const TraceOptions& options, LoopConfig loop, Target target, std::optional<Command> command)
{
    SessionConfig config;
    config.probes.clear();
    for (const std::string& name : options.probes) {
        config.probes.insert(kProbes.at(name));
    }
    config.filter = target.filter;
    config.clients = std::move(target.clients);
    config.watch = target.watch;
    if (options.budget) {
        config.call_limits.budget = *options.budget / 100;
    } else if (target.watch) {
        config.call_limits.budget = kClientBudget;
    }
    config.btf_file = options.btf;
    config.task_store = kTaskStores.at(options.task_store);
    config.by_pid = options.by_pid;
    config.ended = shows_differences(options) ? EndedNames::kForget : EndedNames::kKeep;
    config.statistics = options.statistics;
    config.verbose = options.verbose;
    Result<std::unique_ptr<TraceSession>> session = TraceSession::load(config);
    if (!session) {
        return report(kTrace, session.error());
    }
    if (command) {
        if (Status status = (*session)->follow(command->pid()); !status) {
            return report(kTrace, status.error());
        }
    }
    if (Status status = (*session)->attach(); !status) {
        return report(kTrace, status.error());
    }
    if (options.probes.empty()) {
        target.subject = subject_of((*session)->clients());
    }
    if (target.watch && (*session)->clients().processes == 0) {
        spdlog::warn(
            "no such client runs now, or none whose calls can be timed (see sonde clients): calls will show "
            "when one does");
    }
    const Progress progress(target.subject, loop.duration);
    loop.target_pidfd = target.pidfd.get();
    if (command) {
        if (Status status = command->release(); !status) {
            report(kTrace, status.error().with("run " + options.command.front()));
            return 127;
        }
        loop.target_pidfd = command->pidfd();
        loop.on_signal = [&](int signal, bool from_process) {
            if (from_process) {
                ::kill(command->pid(), signal);  // the terminal signals a whole group, kill only us
            }
            return true;
        };
    }
    progress.begin();
    const Result<EndReason> end = trace(**session, options, loop, progress);
    if (!end) {
        return report(kTrace, end.error());
    }
    if (command && *end == EndReason::kTargetEnded) {
        return command->wait();
    }
    if (command) {
        std::fprintf(stderr, "sonde trace: %s goes on as process %d\n", target.subject.c_str(), command->pid());
    } else if (*end == EndReason::kTargetEnded) {
        std::fprintf(stderr, "sonde trace: %s has ended\n", target.subject.c_str());
    }
    return kDone;
}

}  // namespace

int run_trace(const std::vector<std::string>& arguments)
{
    TraceOptions options;
    CLI::App app;
    app.name("sonde trace");
    add_options(app, options);
    // Behind "--" everything belongs to the command, options included.
    const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
    if (dashes != arguments.end()) {
        options.command.assign(dashes + 1, arguments.end());
        if (options.command.empty()) {
            return report_usage(kTrace, "there is no command behind --");
        }
    }
    std::vector<std::string> own(std::make_reverse_iterator(dashes), std::make_reverse_iterator(arguments.begin()));
    try {
        app.parse(std::move(own));
    } catch (const CLI::CallForHelp&) {
        const Status written = write_output(app.help());
        return written ? kDone : report(kTrace, written.error());
    } catch (const CLI::ParseError& error) {
        return report_usage(kTrace, std::string(error.what()) + " (see sonde trace --help)");
    }
    if (!options.command.empty() && app.count("--pid") + app.count("--comm") + app.count("--cgroup") != 0) {
        return report_usage(kTrace, "a command and -p, --comm or --cgroup cannot be combined");
    }
    for (const char* name : {"--pid", "--comm", "--cgroup"}) {
        if (app.count(name) != 0 && app.get_option(name)->as<std::string>().empty()) {
            return report_usage(kTrace, std::string(name) + " '' names nothing");
        }
    }
    start_log(kTrace, options.verbose ? LogLevel::kEverything : LogLevel::kWarnings);
    LoopConfig loop;
    for (const auto& [name, text, into] : {std::tuple("-d", &options.duration, &loop.duration),
                                           std::tuple("--interval", &options.interval, &loop.interval)}) {
        if (text->empty()) {
            continue;
        }
        const Result<std::chrono::nanoseconds> value = parse_duration(*text);
        if (!value) {
            return report_usage(kTrace, std::string(name) + " " + value.error().what);
        }
        *into = *value;
    }
    Result<Target> target = choose_target(options);
    if (!target) {
        report(kTrace, target.error());
        return target.error().code == EINVAL ? kUsage : kFailed;
    }
    if (!options.clients.empty() && !options.cgroup.empty()) {
        return report_usage(kTrace, "--client and --cgroup cannot be combined");
    }
    if (options.clients.empty() && !options.calls.empty()) {
        return report_usage(kTrace, "--calls says which calls of a --client");
    }
    if ((!options.uprobes.empty() || !options.clients.empty()) && app.count("--probes") == 0) {
        options.probes.clear();
    }
    if (!options.clients.empty()) {
        if (const int status = choose_clients(options, *target); status != kDone) {
            return status;
        }
    }
    if (!options.uprobes.empty()) {
        if (const int status = choose_calls(options, *target); status != kDone) {
            return status;
        }
    }
    block_ending_signals();
    std::optional<Command> command;
    if (!options.command.empty()) {
        Result<Command> started = Command::start(options.command);
        if (!started) {
            return report(kTrace, started.error());
        }
        command.emplace(std::move(*started));
    }
    return run_session(options, std::move(loop), std::move(*target), std::move(command));
}

}  // namespace sonde::cli

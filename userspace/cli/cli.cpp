// SPDX-License-Identifier: Apache-2.0
#include "userspace/cli/cli.h"

#include <array>
#include <csignal>
#include <cstdio>

#include "userspace/cli/version.h"

namespace sonde::cli {
namespace {

struct CommandEntry {
    std::string_view name;
    std::string_view summary;
    int (*run)(const std::vector<std::string>& arguments);
};

constexpr std::array<CommandEntry, 5> kCommands{{
    {"trace", "measure latency distributions for a while and print them", run_trace},
    {"doctor", "show what this kernel and these privileges allow, and what would bring the rest", run_doctor},
    {"clients", "show the node clients and databases that run here, and which of their calls can be timed",
     run_clients},
    {"catalog", "show the clients and databases that are known, and what is known of their calls", run_catalog},
    {"symbols", "show the functions of a program, also of a stripped Go program", run_symbols},
}};

std::string help()
{
    std::string text =
        "sonde measures where the time of a blockchain node's host goes: scheduler, block I/O and TCP,\n"
        "in the running kernel, at next to no cost; and functions inside of processes.\n\n"
        "Usage: sonde COMMAND [OPTIONS]\n\nCommands:\n";
    for (const CommandEntry& command : kCommands) {
        text += "  " + std::string(command.name) + std::string(9 - command.name.size(), ' ') +
                std::string(command.summary) + "\n";
    }
    text +=
        "\nExamples:\n"
        "  sonde trace -d 10                   the whole host, for ten seconds\n"
        "  sonde trace -p $(pidof geth)        one process, until Ctrl-C\n"
        "  sonde trace --client geth           where geth's time goes, from the inside\n"
        "  sonde trace -- ./load-test.sh       a command and its children\n"
        "  sonde trace --uprobe PID:PATTERN    functions of a process; sonde symbols PID shows which\n"
        "  sonde doctor                        what can be measured here, and by which hook\n\n"
        "sonde COMMAND --help tells more. sonde --version prints the version.\n"
        "Exit status: 0 done, 1 failed, 2 usage, 3 not possible with this kernel or these privileges.\n";
    return text;
}

int print(const std::string& text)
{
    const Status written = write_output(text);
    return written ? kDone : report("", written.error());
}

}  // namespace

int run(const std::vector<std::string>& argv)
{
    // A reader that goes away is an error of a write, not the end of the program.
    std::signal(SIGPIPE, SIG_IGN);
    if (argv.size() < 2) {
        std::fputs(help().c_str(), stderr);
        return kUsage;
    }
    const std::string& name = argv[1];
    if (name == "--help" || name == "-h" || name == "help") {
        return print(help());
    }
    if (name == "--version" || name == "-V") {
        return print(std::string("sonde ") + kVersion + "\n");
    }
    for (const CommandEntry& command : kCommands) {
        if (command.name == name) {
            return command.run({argv.begin() + 2, argv.end()});
        }
    }
    return report_usage("", "there is no command '" + name + "': see sonde --help");
}

}  // namespace sonde::cli

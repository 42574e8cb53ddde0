// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/features.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <array>
#include <cstring>
#include <string_view>

#include "userspace/base/unique_fd.h"
#include "userspace/probes/libbpf_ptr.h"

namespace sonde {
namespace {

constexpr std::string_view kTypedefPrefix = "btf_trace_";
// Functions whose number of arguments decides between two forms of a program.
constexpr std::array<std::string_view, 1> kFunctions{"inet_csk_accept"};

constexpr bpf_insn kReturnZero[] = {
    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = 0},
    {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
};

Feature from_fd(int fd, const std::string& what)
{
    if (fd >= 0) {
        UniqueFd(fd).reset();
        return {true, ""};
    }
    return {false, what + ": " + std::strerror(-fd)};
}

Feature try_raw_tracepoint()
{
    return from_fd(bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "sonde_try", "GPL", kReturnZero, 2, nullptr),
                   "load a raw_tp program");
}

Feature try_tracing(const btf* kernel, bpf_attach_type type, const char* name, __u32 kind)
{
    const std::string what = std::string("load a ") + (type == BPF_TRACE_RAW_TP ? "tp_btf" : "fentry") + " program";
    const int id = btf__find_by_name_kind(kernel, name, kind);
    if (id < 0) {
        return {false, what + ": " + name + " is not in the kernel's BTF"};
    }
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = type, .attach_btf_id = static_cast<__u32>(id));
    return from_fd(bpf_prog_load(BPF_PROG_TYPE_TRACING, "sonde_try", "GPL", kReturnZero, 2, &options), what);
}

// r1 = address on the stack; r2 = 8; r3 = 0; call bpf_probe_read_kernel.
Feature try_probe_read()
{
    const bpf_insn program[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_1, .src_reg = BPF_REG_10, .off = 0, .imm = 0},
        {.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_1, .src_reg = 0, .off = 0, .imm = -8},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .src_reg = 0, .off = 0, .imm = 8},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .src_reg = 0, .off = 0, .imm = 0},
        {.code = BPF_JMP | BPF_CALL, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = BPF_FUNC_probe_read_kernel},
        kReturnZero[0],
        kReturnZero[1],
    };
    return from_fd(
        bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "sonde_try", "GPL", program, std::size(program), nullptr),
        "load a program that calls bpf_probe_read_kernel");
}

Feature try_map(bpf_map_type type, const char* name)
{
    // Local storage wants BTF of its key and value; libbpf makes it for its own probe.
    const int result = libbpf_probe_bpf_map_type(type, nullptr);
    if (result == 1) {
        return {true, ""};
    }
    return {false, std::string("create a map of type ") + name + ": " +
                       (result == 0 ? "not supported" : std::strerror(-result))};
}

Feature try_statistics()
{
    return from_fd(bpf_enable_stats(BPF_STATS_RUN_TIME), "enable BPF statistics");
}

// One pass over the types: tracepoints by their typedefs, functions by their prototypes.
void collect_names(const btf* kernel, KernelFeatures& features)
{
    const __u32 count = btf__type_cnt(kernel);
    for (__u32 id = 1; id < count; ++id) {
        const btf_type* type = btf__type_by_id(kernel, id);
        const char* raw_name = btf__name_by_offset(kernel, type->name_off);
        const std::string_view name = raw_name == nullptr ? "" : raw_name;
        if (btf_is_typedef(type) && name.starts_with(kTypedefPrefix)) {
            features.tracepoints.emplace(name.substr(kTypedefPrefix.size()));
        } else if (btf_is_func(type)) {
            for (const std::string_view wanted : kFunctions) {
                if (name == wanted) {
                    const btf_type* prototype = btf__type_by_id(kernel, type->type);
                    features.function_args.emplace(name, btf_vlen(prototype));
                }
            }
        }
    }
}

}  // namespace

Result<KernelFeatures> KernelFeatures::probe(const std::string& btf_file)
{
    KernelFeatures features;
    errno = 0;
    BtfPtr kernel(btf__load_vmlinux_btf());
    const int kernel_error = errno;
    const Feature no_btf{false, "the kernel shows no BTF (/sys/kernel/btf/vmlinux: " +
                                    std::string(std::strerror(kernel_error == 0 ? ENOENT : kernel_error)) + ")"};
    features.raw_tracepoints = try_raw_tracepoint();
    features.probe_read_kernel = try_probe_read();
    features.bpf_statistics = try_statistics();
    if (kernel) {
        features.btf.works = true;
        collect_names(kernel.get(), features);
        features.typed_tracepoints =
            try_tracing(kernel.get(), BPF_TRACE_RAW_TP, "btf_trace_sched_switch", BTF_KIND_TYPEDEF);
        features.fentry = try_tracing(kernel.get(), BPF_TRACE_FENTRY, "schedule", BTF_KIND_FUNC);
        features.task_storage = try_map(BPF_MAP_TYPE_TASK_STORAGE, "task storage");
        features.socket_storage = try_map(BPF_MAP_TYPE_SK_STORAGE, "socket storage");
    } else {
        features.btf = features.typed_tracepoints = features.fentry = features.task_storage = features.socket_storage =
            no_btf;
    }
    if (!btf_file.empty()) {
        BtfPtr from_file(btf__parse(btf_file.c_str(), nullptr));
        if (!from_file) {
            return Error::from_errno(errno, "read BTF from " + btf_file);
        }
        if (!kernel) {
            features.btf.works = true;
            collect_names(from_file.get(), features);
        }
    }
    return features;
}

}  // namespace sonde

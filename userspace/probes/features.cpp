// SPDX-License-Identifier: Apache-2.0
#include "userspace/probes/features.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "userspace/base/unique_fd.h"
#include "userspace/probes/btf_file.h"
#include "userspace/probes/kernel_types.h"
#include "userspace/probes/object.h"
#include "userspace/probes/raw_btf.h"
#include "userspace/probes/type_subset.h"

namespace sonde {
namespace {

constexpr const char* kKernelBtf = "/sys/kernel/btf/vmlinux";
// A function that every kernel has, to try fentry on.
constexpr const char* kTryFunction = "schedule";
constexpr const char* kTryTracepoint = "btf_trace_sched_switch";
// The number of arguments of inet_csk_accept decides between two forms of a program. Kernels with arch_uprobe_optimize
// make a call of a probed five-byte nop; those with __x64_sys_uretprobe have a process make a system call at a return
// probe.
const std::set<std::string_view> kFunctions{"inet_csk_accept", "arch_uprobe_optimize", "__x64_sys_uretprobe",
                                            kTryFunction};

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

Feature try_tracing(const KernelTypes& types, bpf_attach_type type, const char* name)
{
    const std::string what = std::string("load a ") + (type == BPF_TRACE_RAW_TP ? "tp_btf" : "fentry") + " program";
    const auto id = types.ids.find(name);
    if (id == types.ids.end()) {
        return {false, what + ": " + name + " is not in the kernel's BTF"};
    }
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = type, .attach_btf_id = id->second);
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
    return from_fd(bpf_enable_stats(BPF_STATS_RUN_TIME), "enable BPF statistics (trace --stats; needs CAP_SYS_ADMIN)");
}

// What is asked of a BTF.
struct Facts {
    KernelTypes types;
    Result<std::vector<char>> core_types;
};

Result<Facts> facts_of(std::span<const char> bytes, const Result<TypeNames>& core_names)
{
    const Result<RawBtf> btf = RawBtf::open(bytes);
    if (!btf) {
        return btf.error();
    }
    Result<KernelTypes> types = KernelTypes::find(*btf, kFunctions);
    if (!types) {
        return types.error();
    }
    return Facts{std::move(*types), core_names ? type_subset(*btf, *core_names) : core_names.error()};
}

Result<Facts> facts_of_kernel(const Result<TypeNames>& core_names)
{
    const UniqueFd fd(::open(kKernelBtf, O_RDONLY | O_CLOEXEC));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) {
        return Error::from_errno(errno, kKernelBtf);
    }
    const auto size = static_cast<size_t>(info.st_size);
    if (size == 0) {
        return Error{ENODATA, std::string(kKernelBtf) + " is empty"};
    }
    // Kernels before 6.16 cannot map it, and give out a page per read.
    void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (mapped != MAP_FAILED) {
        Result<Facts> facts = facts_of({static_cast<const char*>(mapped), size}, core_names);
        ::munmap(mapped, size);
        return facts;
    }
    const Result<std::vector<char>> bytes = read_bytes(fd.get(), size, kKernelBtf);
    return bytes ? facts_of(*bytes, core_names) : Result<Facts>(bytes.error());
}

// libbpf follows references between types as if they were good: through one that leads nowhere or back it crashes, or
// goes on for ever. The file may be anybody's, so libbpf gets the subset of it or nothing.
Result<Facts> facts_of_file(const std::string& path, const Result<TypeNames>& core_names)
{
    const Result<std::vector<char>> bytes = read_btf_file(path);
    if (!bytes) {
        return Error{EINVAL, "read BTF from " + bytes.error().what};
    }
    Result<Facts> facts = facts_of(*bytes, core_names);
    if (!facts) {
        return facts.error().with(path);
    }
    if (!facts->core_types) {
        return Error{EINVAL, path + ": " + facts->core_types.error().what};
    }
    return facts;
}

// Puts a BTF where libbpf can open it. Where that is not possible there is no harm: libbpf searches the whole one.
void use_types(const Result<std::vector<char>>& btf, KernelFeatures& features)
{
    if (!btf) {
        features.no_subset = btf.error().what;
        return;
    }
    UniqueFd file(::memfd_create("sonde-types", MFD_CLOEXEC));
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    if (!file || ::write(file.get(), btf->data(), btf->size()) != static_cast<ssize_t>(btf->size()) ||
        !UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC))) {
        features.no_subset = std::string("a file in memory: ") + std::strerror(errno);
        return;
    }
    features.btf_file = path;
    features.btf_memory = std::make_shared<UniqueFd>(std::move(file));
}

void take_names(const KernelTypes& types, KernelFeatures& features)
{
    features.btf.works = true;
    features.tracepoints = types.tracepoints;
    features.function_args = types.function_args;
}

}  // namespace

Result<KernelFeatures> KernelFeatures::probe(const std::string& btf_file)
{
    const Result<TypeNames> core_names = core_type_names();
    KernelFeatures features;
    features.raw_tracepoints = try_raw_tracepoint();
    features.probe_read_kernel = try_probe_read();
    features.bpf_statistics = try_statistics();
    Result<Facts> kernel = facts_of_kernel(core_names);
    if (kernel) {
        take_names(kernel->types, features);
        use_types(kernel->core_types, features);
        features.typed_tracepoints = try_tracing(kernel->types, BPF_TRACE_RAW_TP, kTryTracepoint);
        features.fentry = try_tracing(kernel->types, BPF_TRACE_FENTRY, kTryFunction);
        features.task_storage = try_map(BPF_MAP_TYPE_TASK_STORAGE, "task storage");
        features.socket_storage = try_map(BPF_MAP_TYPE_SK_STORAGE, "socket storage");
    } else {
        features.btf = {false, "no BTF of this kernel (" + kernel.error().what + ")"};
        features.typed_tracepoints = features.fentry = features.task_storage = features.socket_storage = features.btf;
    }
    if (!btf_file.empty()) {
        Result<Facts> file = facts_of_file(btf_file, core_names);
        if (!file) {
            return file.error();
        }
        features.btf_memory.reset();
        use_types(file->core_types, features);
        if (!features.btf_memory) {
            return Error{EINVAL, "use the BTF from " + btf_file + ": " + features.no_subset};
        }
        if (!kernel) {
            take_names(file->types, features);
        }
    }
    return features;
}

}  // namespace sonde

// SPDX-License-Identifier: Apache-2.0
//
// The loads. Each runs until its limit is reached and returns its account.
#pragma once

#include "tests/load/load.h"

namespace sonde::load {

// cpu_loads.cpp
Report run_pipe(const Options& options);
Report run_spin(const Options& options);

// wait_loads.cpp: one reason to wait each
Report run_sleep(const Options& options);
Report run_futex(const Options& options);
Report run_recv(const Options& options);
Report run_read_pipe(const Options& options);
Report run_poll(const Options& options);
Report run_ring(const Options& options);

// disk_loads.cpp
Report run_mmap_fault(const Options& options);
Report run_direct_read(const Options& options);
Report run_direct_write(const Options& options);
Report run_fsync(const Options& options);

// tcp_loads.cpp
Report run_tcp_rr(const Options& options);
Report run_tcp_connect(const Options& options);
Report run_listen_overflow(const Options& options);

// population_loads.cpp
Report run_forks(const Options& options);
Report run_threads(const Options& options);
Report run_procs(const Options& options);

// churn_loads.cpp
Report run_churn(const Options& options);
Report run_cgroups(const Options& options);

// mixed_load.cpp
Report run_mixed(const Options& options);

}  // namespace sonde::load

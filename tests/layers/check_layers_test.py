#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants forbidden includes and circles in small source trees, and proves that check_layers.py sees each."""
import os
import subprocess
import sys
import tempfile
import unittest

CHECKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "check_layers.py")

ALLOWED = {
    "bpf/abi/hist.h": '#include "vmlinux.h"\n#include <linux/types.h>\n',
    "bpf/lib/common.bpf.h": '#include "vmlinux.h"\n#include <bpf/bpf_helpers.h>\n',
    "bpf/x.bpf.c": '#include "bpf/lib/common.bpf.h"\n#include "bpf/abi/hist.h"\n#include <bpf/bpf_endian.h>\n',
    "userspace/base/result.h": "#include <string>\n",
    "userspace/metrics/histogram.h": '#include "bpf/abi/hist.h"\n#include "userspace/base/result.h"\n',
    "userspace/probes/x_probe.h": '#include "userspace/metrics/histogram.h"\n#include <bpf/libbpf.h>\n',
    "userspace/probes/x_probe.cpp": '#include "userspace/probes/x_probe.h"\n#include "x.skel.h"\n',
    "userspace/app/session.h": '#include "userspace/probes/x_probe.h"\n',
    "userspace/cli/cli.h": '#include "userspace/app/session.h"\n#include "userspace/base/result.h"\n',
    "userspace/main.cpp": '#include "userspace/cli/cli.h"\n',
    "tuning/knob.h": '/* not code:\n#include "userspace/cli/cli.h" */\n#include "userspace/base/result.h"\n',
}


class CheckLayers(unittest.TestCase):
    def check(self, planted):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**ALLOWED, **planted}.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                    f.write(text)
            run = subprocess.run([sys.executable, CHECKER, root], stdout=subprocess.PIPE, text=True, check=False)
            return run.returncode, run.stdout

    def assert_fails(self, planted, message):
        status, output = self.check(planted)
        self.assertEqual(status, 1, output)
        self.assertIn(message, output)

    def test_accepts_what_is_allowed(self):
        self.assertEqual(self.check({}), (0, ""))

    def test_forbidden_includes(self):
        for path, include, message in (
                ("userspace/base/a.h", '"userspace/metrics/histogram.h"', "base may not include userspace/metrics"),
                ("userspace/host/a.h", '"userspace/probes/x_probe.h"', "host may not include userspace/probes"),
                ("userspace/host/a.h", '"bpf/abi/hist.h"', "host may not include bpf/abi"),
                ("userspace/app/a.h", '"userspace/cli/cli.h"', "app may not include userspace/cli"),
                ("userspace/cli/a.cpp", '"userspace/probes/x_probe.h"', "cli may not include userspace/probes"),
                ("userspace/base/deep/a.h", '"tuning/knob.h"', "base may not include tuning"),
                ("userspace/main.cpp", '"userspace/app/session.h"', "userspace may not include userspace/app"),
                ("userspace/base/a.h", "<userspace/cli/cli.h>", "base may not include userspace/cli"),
                ("userspace/base/a.h", '"vmlinux.h"', "base may not include vmlinux"),
                ("bpf/lib/a.bpf.h", '"userspace/base/result.h"', "bpf/lib may not include userspace/base"),
                ("bpf/abi/a.h", '"bpf/lib/common.bpf.h"', "bpf/abi may not include bpf/lib"),
        ):
            with self.subTest(path=path, include=include):
                self.assert_fails({path: "#include %s\n" % include}, message)

    def test_libbpf_and_skeletons(self):
        for path, include in (("userspace/app/a.cpp", "<bpf/bpf.h>"), ("userspace/cli/a.cpp", '"x.skel.h"'),
                              ("bpf/x.bpf.c", "<bpf/libbpf.h>"), ("bpf/abi/a.h", "<bpf/bpf_helpers.h>"),
                              ("userspace/metrics/a.h", "  <bpf/btf.h>")):
            with self.subTest(path=path, include=include):
                self.assert_fails({path: "# include %s\n" % include}, "%s:1: " % path)

    def test_unknown_folder_and_missing_file(self):
        self.assert_fails({"userspace/misc/a.h": "\n"}, "userspace/misc/a.h: its folder has no arrows")
        self.assert_fails({"userspace/base/a.h": '#include "result.h"\n'}, "result.h is no file")

    def test_circle_of_files(self):
        self.assert_fails({"userspace/base/a.h": '#include "userspace/base/b.h"\n',
                           "userspace/base/b.h": '#include "userspace/base/a.h"\n'},
                          "circle of files: userspace/base/a.h -> userspace/base/b.h -> userspace/base/a.h")

    def test_circle_of_folders(self):
        # The files make no circle, but the folders do.
        self.assert_fails({"userspace/metrics/a.h": '#include "userspace/verdict/a.h"\n',
                           "userspace/verdict/a.h": "\n",
                           "userspace/verdict/b.h": '#include "userspace/metrics/histogram.h"\n'},
                          "circle of folders: userspace/metrics -> userspace/verdict -> userspace/metrics")

    def test_empty_tree(self):
        with tempfile.TemporaryDirectory() as root:
            self.assertEqual(subprocess.run([sys.executable, CHECKER, root], stdout=subprocess.DEVNULL,
                                            check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main()

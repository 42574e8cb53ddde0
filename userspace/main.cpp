// SPDX-License-Identifier: Apache-2.0
#include "userspace/cli/cli.h"

int main(int argc, char** argv)
{
    return sonde::cli::run({argv, argv + argc});
}

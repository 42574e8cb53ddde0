// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package main

// #include <stdlib.h>
// static int twice(int n) { return abs(n) * 2; }
import "C"

func init() { _ = C.twice(C.int(2)) }

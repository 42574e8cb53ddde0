// SPDX-License-Identifier: Apache-2.0

// What calls.c does, for functions as Go makes them.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"
	"unsafe"
)

const (
	callsPerSec     = 10000
	burst           = 200
	period          = time.Second * burst / callsPerSec
	stepsPerCall    = 20
	clockThreadTime = 3 // CLOCK_THREAD_CPUTIME_ID
)

// It calls nothing and needs no room on the stack, so it begins with its work.
//
//go:noinline
func leaf(value uint64) uint64 {
	for i := 0; i < stepsPerCall; i++ {
		value = (value^value>>29)*6364136223846793005 + 1
	}
	return value ^ 1
}

// It calls, so it looks for room on the stack and sets up a frame: push.
//
//go:noinline
func framed(value uint64) uint64 {
	return leaf(value) ^ 1
}

func threadTime() int64 {
	var now syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThreadTime, uintptr(unsafe.Pointer(&now)), 0)
	return now.Nano()
}

func run(function func(uint64) uint64, calls int) {
	took := make([]int64, (calls+burst-1)/burst)
	value := uint64(1)
	for i := range took {
		next := time.Now().Add(period)
		begin := threadTime()
		for range burst {
			value = function(value)
		}
		took[i] = threadTime() - begin
		for time.Now().Before(next) {
		}
	}
	slices.Sort(took)
	fmt.Printf("{\"calls\": %d, \"ns_per_call\": %.1f, \"value\": %d}\n", len(took)*burst,
		float64(took[len(took)/2])/burst, value)
}

func main() {
	runtime.LockOSThread()
	fmt.Println("ready")
	functions := map[string]func(uint64) uint64{"main.framed": framed, "main.leaf": leaf}
	input := bufio.NewReader(os.Stdin)
	for {
		var name string
		var calls int
		if _, err := fmt.Fscan(input, &name, &calls); err != nil {
			return
		}
		if function, known := functions[name]; known {
			run(function, calls)
		}
	}
}

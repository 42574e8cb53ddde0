// SPDX-License-Identifier: Apache-2.0

// A program whose functions are called a known number of times, some for a known time, in ways that are hard on who
// times them: stacks that grow and move during a call, goroutines that change threads, panics that leave without a
// return. Waits for a line on stdin, works, prints {"function": calls} and a checksum of its results in one line of
// JSON, and waits for stdin to be closed. The checksum depends on nothing but the argument, the amount of work.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// Deep recursion with a frame that makes the stack grow, and so move, several times on the way down.
//
//go:noinline
func deep(n int, sum uint64) uint64 {
	var room [64]uint64
	for i := range room {
		room[i] = sum + uint64(i*n)
	}
	if n == 0 {
		return room[63]
	}
	return deep(n-1, room[n%64]*6364136223846793005+1) ^ room[(n+7)%64]
}

// Sleeps, so that its goroutine wakes up on any thread.
//
//go:noinline
func sleeps(d time.Duration) int {
	time.Sleep(d)
	return int(d)
}

// Ends by a panic every third time.
//
//go:noinline
func panics(n int) int {
	if n%3 == 0 {
		panic(n)
	}
	return n * 2
}

//go:noinline
func recovers(n int) (result int) {
	defer func() {
		if r := recover(); r != nil {
			result = r.(int) + 1
		}
	}()
	return panics(n)
}

// A call within which the stack of its own goroutine is moved by growing, once per goroutine.
//
//go:noinline
func moves(n int) uint64 {
	x := uint64(n)
	p := &x
	y := deep(200+n%50, uint64(n))
	return *p ^ y
}

//go:noinline
func exchange(in, out chan uint64) uint64 {
	out <- <-in + 1
	return 1
}

func main() {
	runtime.GOMAXPROCS(4)
	work, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	stdin := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	stdin.ReadString('\n')

	var lock sync.Mutex
	var all sync.WaitGroup
	var checksum uint64
	add := func(v uint64) {
		lock.Lock()
		checksum += v
		lock.Unlock()
	}
	calls := map[string]int{}
	goroutines := 100 * work
	for i := 0; i < goroutines; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			v := moves(i)
			for j := 0; j < 3; j++ {
				v += uint64(recovers(i + j))
			}
			if i%100 == 0 {
				v += uint64(sleeps(20 * time.Millisecond))
			}
			in, out := make(chan uint64, 1), make(chan uint64, 1)
			in <- v
			exchange(in, out)
			add(<-out)
		}(i)
		if i%50 == 49 {
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
	}
	all.Wait()
	for i := 0; i < goroutines; i++ {
		calls["main.moves"]++
		calls["main.deep"] += 200 + i%50 + 1
		calls["main.recovers"] += 3
		calls["main.panics"] += 3
		calls["main.exchange"]++
		if i%100 == 0 {
			calls["main.sleeps"]++
		}
	}
	line, _ := json.Marshal(map[string]any{"calls": calls, "panicked": goroutines, "checksum": fmt.Sprint(checksum)})
	fmt.Println(string(line))
	stdin.ReadString('\n')
}
